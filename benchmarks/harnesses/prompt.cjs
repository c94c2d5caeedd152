// The chat turns of a row, as they are in its variable. promptfoo renders variables as templates; no row of the benchmark holds one.
module.exports = ({ vars }) => JSON.parse(vars.turns);
