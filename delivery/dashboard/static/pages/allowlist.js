// IP allowlist: the addresses that deliveries come from.

import { copy, h, page, table, tag, time } from "../ui.js";
import { get } from "../api.js";

/** changedAt reads the list's time, such as 2026-11-23-08-00-00, which is UTC. */
const changedAt = (text) => text.replace(/^(\d+-\d+-\d+)-(\d+)-(\d+)-(\d+)$/, "$1T$2:$3:$4Z");

export async function allowlist() {
  const list = await get("egress");
  const all = [...(list.prefixes ?? []).map((p) => ({ ...p, prefix: p.ip_prefix })), ...(list.ipv6_prefixes ?? []).map((p) => ({ ...p, prefix: p.ipv6_prefix }))];
  const upcoming = all.filter((p) => p.status === "upcoming");
  return [
    page("IP allowlist", "Settings", all.length ? copy(() => all.map((p) => p.prefix).join("\n"), "Copy all") : null),
    h("p", { class: "quiet" }, "Deliveries come from these addresses and no others. Let them through your firewall, and verify signatures all the same."),
    upcoming.map((p) => h("div", { class: "note warn" }, h("strong", {}, p.prefix), ` joins on ${p.not_before}. Let it in before that day. `, copy(p.prefix, "Copy", true))),
    all.length ? table([{ name: "Address" }, { name: "Status", class: "tight" }, { name: "Profile", class: "wide tight" }, { name: "", class: "tight" }],
      all.map((p) => h("tr", {}, h("td", { class: "mono wrap" }, p.prefix), h("td", { class: "tight" }, tag(p.status === "active" ? "ok" : "warn", p.status === "upcoming" ? `from ${p.not_before}` : p.status)),
        h("td", { class: "wide tight" }, p.profile), h("td", { class: "tight" }, copy(p.prefix, "Copy", true)))), "")
      : h("div", { class: "empty" }, "The gateway is not told which addresses it sends from, so there is nothing to publish. Its operator sets them by egress { address … }."),
    list.createDate ? h("p", { class: "quiet small" }, "Last change ", time(changedAt(list.createDate))) : null,
  ];
}
