// Node loads this before promptfoo's page. Of itself that listens on every interface, and its script reports to promptfoo's makers from the
// browser, for which there is no setting. With this it listens on this machine alone, and the browser lets the page speak to nobody else.
const http = require("node:http");

const POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws:";

const listen = http.Server.prototype.listen;
http.Server.prototype.listen = function (port, ...rest) {
  return Number.isInteger(port) && typeof rest[0] !== "string" ? listen.call(this, port, "127.0.0.1", ...rest) : listen.call(this, port, ...rest);
};

const writeHead = http.ServerResponse.prototype.writeHead;
http.ServerResponse.prototype.writeHead = function (...given) {
  this.setHeader("Content-Security-Policy", POLICY);
  return writeHead.apply(this, given);
};
