package interop_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// No library verifies v1a: those that exist skip versions they do not know. OpenSSL's command line, and in verify.mjs
// Node's crypto, are given the signed bytes as the specification describes them.
var openSSL = verifier{"standard_ed25519", "openssl", func(t *testing.T, r request, k key) error {
	t.Helper()
	dir := t.TempDir()
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(decoded(t, k.text)))
	if err != nil {
		return err
	}
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	public := write("public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	signed := write("signed", append([]byte(r.header.Get("Webhook-Id")+"."+r.header.Get("Webhook-Timestamp")+"."), r.body...))
	err = fmt.Errorf("no v1a in %q", r.header.Get("Webhook-Signature"))
	for entry := range strings.SplitSeq(r.header.Get("Webhook-Signature"), " ") {
		digits, ok := strings.CutPrefix(entry, "v1a,")
		if !ok {
			continue
		}
		raw, badBase64 := base64.StdEncoding.DecodeString(digits)
		if badBase64 != nil {
			return badBase64
		}
		cmd := exec.CommandContext(t.Context(), "openssl", "pkeyutl", "-verify", "-rawin", "-in", signed, "-sigfile", write("signature", raw), "-pubin", "-inkey", public)
		out, refused := cmd.CombinedOutput()
		if refused == nil && strings.Contains(string(out), "Verified Successfully") {
			return nil
		}
		err = fmt.Errorf("%w: %s", refused, out)
	}
	return err
}}

// The published vector shows that both ways of checking v1a are right themselves.
func TestPublishedEd25519Vector(t *testing.T) {
	t.Parallel()
	needReceivers(t)
	vector := request{
		header: http.Header{
			"Webhook-Id": {"msg_p5jXN8AQM9LWM0D4loKWxJek"}, "Webhook-Timestamp": {"1614265330"},
			"Webhook-Signature": {"v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="},
		},
		body: []byte(`{"test": 2432232314}`),
	}
	k := key{text: "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="}
	for _, v := range append(startNode(t).verifiers(), openSSL) {
		if v.scheme != "standard_ed25519" {
			continue
		}
		if err := v.verify(t, vector, k); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		other := vector
		other.body = []byte(`{"test": 2432232315}`)
		if v.verify(t, other, k) == nil {
			t.Errorf("%s takes another body", v.name)
		}
	}
}
