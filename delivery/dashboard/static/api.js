// The management API, as the page uses it. Paths are relative to where the page is.

// A portal's link, which is a token and colours, is kept in the tab's session storage, so that reloading the page keeps the
// customer in. Where the browser refuses that, as Chromium does in a frame on another site once its user blocks third-party
// cookies, it is kept in the state of the frame's history entries, which a reload keeps too and which needs no permission. A
// cookie would not do: such a frame gets none, one that it does get (SameSite=None) would also go with what the site around it
// makes the browser send, and it would take the place of an operator's own session. Both places are cut off from every other
// tab and site, and end with the tab. Who could read them, a script on this page, could act as the customer anyway: that is
// what the content security policy and text nodes are for. The token itself is one tenant's alone, and ends by itself, an hour
// after the link was made unless the link says otherwise.
const kept = `webhooks-portal ${location.pathname}`; // other dashboards may be at the same host

let token = "";
let unstored = null; // the link, where there is no storage

/** enterPortal keeps what a portal link says; the page's address is to be without it from now on. */
export function enterPortal(link, address) {
  history.replaceState(null, "", address);
  try {
    sessionStorage.setItem(kept, JSON.stringify(link));
  } catch {
    unstored = link;
  }
  stay();
}

/** stay keeps a link that is not stored in the history entry that the page is at now. */
export function stay() {
  if (unstored) history.replaceState({ portal: unstored }, "");
}

/** portal is the link that this tab was opened with; null without one. */
export function portal() {
  try {
    unstored = null;
    return use(JSON.parse(sessionStorage.getItem(kept)));
  } catch {
    return use(unstored = history.state?.portal ?? null);
  }
}

function use(link) {
  token = link?.token ?? "";
  return link;
}

export function leavePortal() {
  token = "";
  unstored = null;
  history.replaceState(null, "");
  try {
    sessionStorage.removeItem(kept);
  } catch {
    // then nothing is stored
  }
}

/** Problem is an answer that says what is wrong (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ? body.detail + (body.pointer ? ` (${body.pointer})` : "") : `The gateway answered ${status}.`);
    this.status = status;
    this.body = body ?? {};
  }
}

const headersOf = (more) => (token ? { Authorization: `Bearer ${token}`, ...more } : { ...more });

async function request(method, path, body, headers) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: headersOf({ ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers }),
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch {
    throw new Problem(0, { detail: "The gateway does not answer." });
  }
  const text = await response.text();
  let value;
  try {
    value = text ? JSON.parse(text) : undefined;
  } catch {
    throw new Problem(response.status, { detail: `The gateway answered ${response.status} with something that is no JSON.` });
  }
  if (!response.ok) throw new Problem(response.status, value);
  return { value, etag: response.headers.get("ETag") };
}

export const get = async (path) => (await request("GET", `api/${path}`)).value;
export const getWithTag = (path) => request("GET", `api/${path}`);
export const post = async (path, body) => (await request("POST", `api/${path}`, body)).value;
export const patch = async (path, body, etag) => (await request("PATCH", `api/${path}`, body, { "If-Match": etag })).value;
export const remove = async (path, etag) => (await request("DELETE", `api/${path}`, undefined, { "If-Match": etag })).value;
export const signIn = async (secret) => (await request("POST", "session", { token: secret })).value;
export const signOut = async () => (await request("DELETE", "session")).value;
export const whoAmI = async () => (await request("GET", "session")).value;

const nameLife = 30000; // ms
let known = { at: -nameLife, all: Promise.resolve([]) };

/** endpointNames gives the first 500 endpoints as [id, name], of half a minute ago at most: pages name endpoints as people do. */
export function endpointNames() {
  if (performance.now() - known.at > nameLife) {
    const all = get("endpoints?limit=500").then((list) => list.items.map((e) => [e.id, e.description || e.id]));
    known = { at: performance.now(), all: all.catch(() => []) };
  }
  return known.all;
}

/** forgetNames is for who changed one. */
export const forgetNames = () => { known.at = -nameLife; };

/** query writes parameters, leaving empty ones out. */
export function query(values) {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value) q.set(name, value);
  const text = q.toString();
  return text ? `?${text}` : "";
}

/**
 * follow reads the stream of events until signal aborts, and begins anew when it breaks off. EventSource cannot send a token,
 * so the stream is read by hand (WHATWG HTML, section 9.2, without ids and retry).
 */
export async function follow(path, signal, each) {
  for (let wait = 1000; !signal.aborted; wait = Math.min(wait * 2, 30000)) {
    try {
      const response = await fetch(`api/${path}`, { headers: headersOf(), signal, credentials: "same-origin" });
      if (!response.ok) throw new Problem(response.status);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        wait = 1000;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop().slice(-65536);
        for (const part of parts) {
          const event = /^event: (.*)$/m.exec(part)?.[1];
          const data = /^data: (.*)$/m.exec(part)?.[1];
          if (event && data) each(event, JSON.parse(data));
        }
      }
    } catch {
      if (signal.aborted) return;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
