// Verifying a signature in five languages. They check the Standard Webhooks headers with nothing but what the language brings,
// except for the last, which is the scheme of the X-AtoShip-Signature header. Each is run in CI against real deliveries.

import { copy, fill, h } from "../ui.js";

const base64 = (secret) => secret.replace(/^whsec_/, "");

export const languages = {
  "Node.js": (secret) => `const crypto = require("crypto");

// body: the raw request body as a Buffer, before any parser
function verify(headers, body) {
  const id = headers["webhook-id"], at = headers["webhook-timestamp"];
  if (Math.abs(Date.now() / 1000 - at) > 300) return false;
  const key = Buffer.from("${base64(secret)}", "base64");
  const expected = crypto.createHmac("sha256", key).update(\`\${id}.\${at}.\`).update(body).digest();
  return headers["webhook-signature"].split(" ").some((s) => {
    const [version, signature] = s.split(",");
    const given = Buffer.from(signature ?? "", "base64");
    return version === "v1" && given.length === expected.length && crypto.timingSafeEqual(given, expected);
  });
}`,
  Go: (secret) => `func verify(h http.Header, body []byte) bool {
	id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	key, _ := base64.StdEncoding.DecodeString("${base64(secret)}")
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, s := range strings.Fields(h.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(s), []byte(expected)) {
			return true
		}
	}
	return false
}`,
  Python: (secret) => `import base64, hashlib, hmac, time

def verify(headers, body):  # headers: lower-case names; body: bytes
    id, at = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(at)) > 300:
        return False
    key = base64.b64decode("${base64(secret)}")
    mac = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256)
    expected = "v1," + base64.b64encode(mac.digest()).decode()
    return any(hmac.compare_digest(s, expected) for s in headers["webhook-signature"].split())`,
  PHP: (secret) => `<?php
function verify(array $headers, string $body): bool { // lower-case names
    $id = $headers['webhook-id'];
    $at = $headers['webhook-timestamp'];
    if (abs(time() - (int) $at) > 300) {
        return false;
    }
    $key = base64_decode('${base64(secret)}');
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$at.$body", $key, true));
    foreach (explode(' ', $headers['webhook-signature']) as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}`,
  Ruby: (secret) => `require "base64"
require "openssl"

def verify(headers, body) # lower-case names
  id, at = headers["webhook-id"], headers["webhook-timestamp"]
  return false if (Time.now.to_i - at.to_i).abs > 300
  key = Base64.decode64("${base64(secret)}")
  expected = "v1," + Base64.strict_encode64(OpenSSL::HMAC.digest("SHA256", key, "#{id}.#{at}.#{body}"))
  headers["webhook-signature"].split(" ").any? { |s| OpenSSL.secure_compare(s, expected) }
end`,
  "Node.js, X-AtoShip-Signature": (secret) => `const crypto = require('crypto');
const signature = req.headers['x-atoship-signature'];
const expected = 'sha256=' +
  crypto.createHmac('sha256', '${secret}')
    .update(JSON.stringify(req.body))
    .digest('hex');
const valid = signature === expected;`,
};

/** snippets shows one language at a time, with the secret filled in. */
export function snippets(secret) {
  const code = h("pre", { tabindex: "0" });
  let text = "";
  const choose = h("select", { "aria-label": "Language", onchange: () => show() }, Object.keys(languages).map((name) => h("option", {}, name)));
  const show = () => { text = languages[choose.value](secret); fill(code, text); };
  show();
  return h("div", {}, h("div", { class: "row" }, h("div", {}, choose), copy(() => text)), code);
}
