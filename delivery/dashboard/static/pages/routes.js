// Routes: the rules as they are, and why an event goes where it goes.

import { acting, fill, h, number, page, position, ruleName, table, tag, time } from "../ui.js";
import { endpointNames, get, post } from "../api.js";

export async function routes() {
  const [all, names] = await Promise.all([get("routes"), endpointNames().then((known) => new Map(known))]);
  const list = all.items ?? all.routes ?? [];
  const text = h("textarea", { id: "event", "aria-describedby": "event-hint" }, '{"event": "label.created", "environment": "production", "data": {"carrier": "USPS"}}');
  const result = h("section", { "aria-live": "polite" });
  return [
    page("Routes"),
    table([{ name: "Rule" }, { name: "Events", class: "right tight" }, { name: "Condition", class: "wide" }, { name: "To", class: "wide" }, { name: "Where", class: "wide tight" }],
      list.map((r) => h("tr", {}, h("td", { class: "wrap" }, ruleName(r.name ?? r.rule, names), r.otherwise ? [" ", tag("", "otherwise")] : null,
        h("div", { class: "narrow small" }, condition(r), targets(r, names).map((t) => h("div", {}, "→ ", t)))), h("td", { class: "right tight" }, used(r)),
        h("td", { class: "wrap wide" }, condition(r)),
        h("td", { class: "wrap wide" }, targets(r, names).map((t) => h("div", {}, t))), h("td", { class: "wide tight" }, position(r.pos)))),
      "There are no routes: events go to the endpoints that subscribe to them."),
    h("h2", {}, "Explain an event"),
    h("label", { for: "event" }, "Event"), text, h("p", { class: "hint", id: "event-hint" }, "As a publisher would send it. Nothing is sent or kept."),
    h("button", { type: "button", class: "primary", onclick: acting(async () => {
      let event;
      try { event = JSON.parse(text.value); } catch { throw new Error("That is no JSON."); }
      fill(result, drawing(names, await post("routes/explain", event)));
    }) }, "Explain"), result,
  ];
}

const condition = (r) => h("code", {}, r.when || (r.types ?? r.events ?? []).join(" ") || "every event");

/** used tells what a route did since the gateway started. */
function used(r) {
  return [h("div", { class: "num" }, number(r.hits)), r.last_hit ? h("div", { class: "quiet small" }, "last ", time(r.last_hit, "ago")) : h("div", { class: "quiet small" }, "none yet"),
    r.errors ? tag("bad", `${number(r.errors)} failed`) : null];
}

function targets(r, names) {
  const name = (id) => names.get(id) ?? id;
  const chain = (t) => (typeof t === "string" ? name(t) : [t.endpoint ?? t.primary, ...(t.backups ?? t.backup ?? [])].filter(Boolean).map(name).join(" → ") + (t.weight ? ` (${t.weight})` : ""));
  const all = [r.to ?? r.targets ?? [], r.split?.to ?? []].flat().map(chain);
  if (r.pick) all.push("picked by an expression");
  if (r.endpoint) all.push(name(r.endpoint));
  return all;
}

const kinds = { true: "ok", false: "", missing: "warn", error: "bad" };

function part(p) {
  if (!p) return null;
  return h("li", {}, tag(kinds[p.outcome] ?? "", p.outcome), " ", p.op ? h("strong", {}, p.op) : h("code", { class: "wrap" }, p.text),
    (p.values ?? []).map((v) => h("div", { class: "quiet small wrap" }, h("code", {}, v.path), v.missing ? " is missing" : ` = ${JSON.stringify(v.value)}${v.truncated ? "…" : ""}`)),
    p.error ? h("div", { class: "small" }, p.error) : null,
    p.parts?.length ? h("ul", { class: "tree" }, p.parts.map(part)) : null);
}

/** drawing shows an explanation: who gets the event, then each rule with what its parts came to. */
export function drawing(names, x) {
  const name = (id) => names.get(id) ?? id;
  return h("div", {},
    h("div", { class: `note ${x.undecided ? "warn" : x.targets.length ? "ok" : ""}` },
      x.targets.filter((t) => !t.dropped).map((t) => h("div", {}, "→ ", h("strong", { title: t.endpoint }, name(t.endpoint)), t.backups?.length ? `, then ${t.backups.map(name).join(", ")}` : "", t.route === `endpoint:${t.endpoint}` ? ", by its own subscription" : `, by ${ruleName(t.route, names)}`)),
      x.undecided ? h("div", {}, `Undecided: held by ${(x.held ?? []).join(", ")}.`) : null,
      x.targets.length === 0 && !x.undecided ? "Nobody gets it." : null,
      h("div", { class: "quiet small" }, `${number(x.eligible)} of ${number(x.total)} rules could apply, ${number(x.candidates)} evaluated`)),
    x.rules.map((r) => h("details", { open: r.outcome === "true" }, h("summary", {}, tag(kinds[r.outcome] ?? "", r.outcome || "–"), ` ${ruleName(r.rule, names)} `, position(r.pos)),
      r.skipped ? h("p", { class: "quiet" }, r.skipped) : null, r.error ? h("pre", { tabindex: "0" }, r.error) : null,
      h("ul", { class: "tree" }, part(r.when), part(r.pick), part(r.by)))),
    x.omitted ? h("p", { class: "quiet" }, `and ${number(x.omitted)} rules more`) : null);
}
