// The management API, as the page uses it. Paths are relative to where the page is.

let token = ""; // of a portal: kept in this page alone, since a frame on another site gets no cookies

/** Problem is an answer that says what is wrong (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ? body.detail + (body.pointer ? ` (${body.pointer})` : "") : `The gateway answered ${status}.`);
    this.status = status;
    this.body = body ?? {};
  }
}

export const useToken = (t) => { token = t; };

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
