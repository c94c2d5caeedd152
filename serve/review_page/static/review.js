// The page works without this. It adds j and k on the queue, and says when the queue has changed.
"use strict";
const queue = document.getElementById("queue");
const changed = document.getElementById("changed");
const EVERY_MS = 30000; // a person looks about as often; a figure or two is asked for

if (queue) {
  const links = [...queue.querySelectorAll("a")];
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, textarea")) return;
    const step = { j: 1, k: -1 }[event.key];
    if (!step) return;
    const at = links.indexOf(document.activeElement);
    const to = at < 0 ? 0 : Math.min(Math.max(at + step, 0), links.length - 1);
    links[to].focus();
  });
}

if (changed) {
  const title = document.title;
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/review/change");
      if (answer.redirected || !answer.ok) return; // signed out, or not reachable: the next click says so
      changed.hidden = (await answer.json()).seen === changed.dataset.seen;
      document.title = changed.hidden ? title : `(changed) ${title}`;
    } catch {
      // the network is away for a moment
    }
  };
  setInterval(look, EVERY_MS);
  document.addEventListener("visibilitychange", look);
}
