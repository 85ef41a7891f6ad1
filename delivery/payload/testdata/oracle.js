// Judges what AppendStable made of documents, with the engine customers use.
//
// In, one line per document:   index verdict base64(input) base64(output)
// where verdict is A accepted, S refused as syntax, V refused as value.
// Out: one line per complaint, "index reason", and at the end "done count".
"use strict";
const assert = require("node:assert");
const readline = require("node:readline");

// Without ignoreBOM the decoder would eat a byte order mark.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// decimal gives a number literal as [digits, exponent], zeros cut off both
// ends; sign and exponent of zero are dropped. It knows no binary arithmetic.
function decimal(literal) {
  const m = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal);
  const fraction = m[3] ?? "";
  const digits = (m[2] + fraction).replace(/^0+/, "");
  const cut = digits.replace(/0+$/, "");
  if (cut === "") return "0";
  const exponent = BigInt(m[4] ?? "0") - BigInt(fraction.length) + BigInt(digits.length - cut.length);
  return m[1] + cut + "e" + exponent;
}

// reason says why a valid JSON text may be refused, or null: it looks at
// tokens only, and shares no idea with the Go code.
function reason(text) {
  const token = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\],:]|true|false|null/g;
  const open = []; // a Set of names per object, null per array
  let name = false; // is a string here the name of a member?
  for (const [t] of text.matchAll(token)) {
    if (t === "{" || t === "[") {
      open.push(t === "{" ? new Set() : null);
      if (open.length > 64) return "depth";
      name = t === "{";
    } else if (t === "}" || t === "]") {
      open.pop();
      name = false;
    } else if (t === ",") {
      name = open.at(-1) !== null;
    } else if (t[0] === '"') {
      const s = JSON.parse(t);
      if (!s.isWellFormed()) return "surrogate";
      if (name) {
        if (open.at(-1).has(s)) return "twice";
        open.at(-1).add(s);
      }
      name = false;
    } else if (t[0] === "-" || (t[0] >= "0" && t[0] <= "9")) {
      const back = String(Number(t));
      if (!/^-?\d/.test(back) || decimal(t) !== decimal(back)) return "number";
    }
  }
  return null;
}

// plain makes -0 into 0, the one difference the stable form may make.
const plain = (_, v) => (v === 0 ? 0 : v);

function judge(verdict, input, output) {
  let text, parsed;
  try {
    text = utf8.decode(input);
    parsed = JSON.parse(text);
  } catch (e) {
    return verdict === "A" ? "accepted, but JavaScript says " + e.message : null;
  }
  if (verdict === "S") return "refused as syntax, but JavaScript parses it";
  const why = reason(text);
  if (verdict === "V") return why === null ? "refused without a reason" : null;
  if (why !== null) return "accepted in spite of: " + why;
  const out = utf8.decode(output);
  const back = JSON.parse(out);
  if (JSON.stringify(back) !== out) return "not a fixed point, JavaScript prints " + JSON.stringify(back);
  if (JSON.stringify(parsed) !== out) return "JavaScript prints " + JSON.stringify(parsed);
  try {
    assert.deepStrictEqual(back, JSON.parse(text, plain));
  } catch {
    return "another value than was sent";
  }
  return null;
}

let count = 0;
readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [index, verdict, input, output] = line.split(" ");
    const complaint = judge(verdict, Buffer.from(input, "base64"), Buffer.from(output, "base64"));
    if (complaint !== null) console.log(index + " " + complaint.slice(0, 300));
    count++;
  })
  .on("close", () => console.log("done " + count));
