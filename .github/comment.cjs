// The two steps of comment.yml: find the pull request of a run of CI, and keep one comment on it up to date.
const fs = require("node:fs");

const MARKER = "<!-- contact-centre-gate -->";
const ARTIFACT = "gate-report";
const MAX_BYTES = 1_000_000; // of the artifact, packed: the report takes a few thousand
const MAX_CHARACTERS = 60_000; // of the comment: GitHub takes 65,536

/** Sets the output `pull` where the run has a report of sane size and an open pull request at its very commit; both are asked of GitHub. */
async function find({ github, context, core }) {
  const run = context.payload.workflow_run;
  const artifacts = await github.rest.actions.listWorkflowRunArtifacts({ ...context.repo, run_id: run.id, name: ARTIFACT });
  const [artifact] = artifacts.data.artifacts;
  if (!artifact) return core.info("the run left no report");
  if (artifact.size_in_bytes > MAX_BYTES) return core.setFailed(`the report has ${artifact.size_in_bytes} bytes: not fetched`);
  const head = `${run.head_repository.owner.login}:${run.head_branch}`;
  const pulls = await github.rest.pulls.list({ ...context.repo, state: "open", head });
  const pull = pulls.data.find((one) => one.head.sha === run.head_sha);
  if (!pull) return core.info("no open pull request is at the commit of this run");
  core.setOutput("pull", pull.number);
}

/** Writes the report into the comment that begins with the marker, or into a new one. */
async function comment({ github, context, core, environment = process.env }) {
  const issue_number = Number(environment.PULL);
  const report = fs.statSync(environment.REPORT, { throwIfNoEntry: false });
  if (!report?.isFile() || report.size > MAX_BYTES) return core.setFailed("the report holds no gate.md of sane size");
  const body = `${MARKER}\n${harmless(fs.readFileSync(environment.REPORT, "utf8"))}`;
  const comments = await github.paginate(github.rest.issues.listComments, { ...context.repo, issue_number, per_page: 100 });
  const mine = comments.find((one) => one.user?.login === "github-actions[bot]" && one.body?.startsWith(MARKER));
  if (mine) await github.rest.issues.updateComment({ ...context.repo, comment_id: mine.id, body });
  else await github.rest.issues.createComment({ ...context.repo, issue_number, body });
}

/** Text that calls nobody, closes no issue, loads no picture, hides nothing and fits into a comment. */
function harmless(text) {
  const shown = text
    .replace(MARKER, "")
    .replaceAll("<!--", "&lt;!--")
    .replaceAll("![", "[")
    .replace(/<\s*img/gi, "&lt;img")
    .replace(/[@#](?=\w)/g, "$&\u200b"); // a zero-width space ends the mention
  return shown.length <= MAX_CHARACTERS ? shown : `${shown.slice(0, MAX_CHARACTERS)}\n\n(cut: the whole report is among the run's artifacts)`;
}

module.exports = { find, comment, harmless };
