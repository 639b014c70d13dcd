// A browser of the smallest kind: runs the script of one HTML file in Node, whose WebSocket and timers are real.
//
//   node browser_page.mjs PAGE ORIGIN
//
// Reads lines of JSON, {"fill": {id: value}, "submit": id}. Writes a line after every change of what the page shows:
// {"status": text, "shown": [[class, text], ...]}. Whatever the script throws ends the process.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import vm from "node:vm";

const [page, origin] = process.argv.slice(2);
const html = readFileSync(page, "utf8");

class Element {
  constructor(value = "") {
    Object.assign(this, { value, className: "", parent: null, children: [], listeners: [], text: "" });
  }
  get textContent() { return this.text; }
  set textContent(text) { this.text = String(text); changed(); }
  append(child) { child.parent = this; this.children.push(child); changed(); }
  replaceChildren() { this.children = []; changed(); }
  remove() { this.parent.children = this.parent.children.filter((child) => child !== this); changed(); }
  addEventListener(type, listener) { this.listeners.push([type, listener]); }
  dispatch(type) {
    for (const [wanted, listener] of this.listeners) if (wanted === type) listener({ preventDefault() {} });
  }
}

const elements = new Map();
for (const [tag, id] of html.matchAll(/<\w+ [^>]*?\bid="([^"]+)"[^>]*>/g)) {
  elements.set(id, new Element(/\bvalue="([^"]*)"/.exec(tag)?.[1]));
}
globalThis.document = {
  getElementById: (id) => elements.get(id) ?? null,
  createElement: () => new Element(),
};

// Browsers name the page's origin at every upgrade, and no script can change that.
const Socket = globalThis.WebSocket;
globalThis.WebSocket = class extends Socket {
  constructor(url, protocols) { super(url, { protocols, headers: { origin } }); }
};

let pending = false;
function changed() {
  if (pending) return;
  pending = true;
  setImmediate(() => {
    pending = false;
    const shown = elements.get("shown").children.map((child) => [child.className, child.text]);
    process.stdout.write(`${JSON.stringify({ status: elements.get("status").text, shown })}\n`);
  });
}

const [before, script] = /^([^]*<script>)([^]*)<\/script>/.exec(html).slice(1);
vm.runInThisContext(script, { filename: page, lineOffset: before.split("\n").length - 1 });

createInterface({ input: process.stdin }).on("line", (line) => {
  const { fill = {}, submit } = JSON.parse(line);
  for (const [id, value] of Object.entries(fill)) elements.get(id).value = value;
  if (submit) elements.get(submit).dispatch("submit");
}).on("close", () => process.exit(0));
