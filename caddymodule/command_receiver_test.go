package caddymodule

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

const deskSecret = "whsec_ZGVzayBzZWNyZXQgMDAwMDAwMDAwMDAwMDAwMDAwMDE="

// deskSignature is made here and not by package sign.
func deskSignature(body string) string {
	mac := hmac.New(sha256.New, []byte(deskSecret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func TestVerifyCommandSaysWhetherASignatureHolds(t *testing.T) {
	t.Parallel()
	const body = `{"event":"label.created"}`
	headers := "POST /in HTTP/1.1\r\nHost: hooks.test\r\nX-AtoShip-Signature: " + deskSignature(body) + "\r\nX-AtoShip-Event-Id: evt_1\r\n\r\n"
	asJSON := `{"x-atoship-signature":"` + deskSignature(body) + `","x-atoship-event-id":"evt_1"}`
	for name, tc := range map[string]struct {
		headers, body string
		more          []string
		says          string
		fails         bool
	}{
		"it holds":                     {headers, body, nil, "✓ atoship: the signature holds", false},
		"headers as JSON":              {asJSON, body, nil, "✓ atoship", false},
		"a line break at the end":      {headers, body + "\n", nil, "without the line break", true},
		"another scheme":               {headers, body, []string{"--signature", "github"}, "signature header missing", true},
		"JSON":                         {headers, body, []string{"--json"}, `"valid": true`, false},
		"no signature in the headers":  {"Host: x\n\n", body, nil, "no signature that is known", true},
		"an unknown scheme":            {headers, body, []string{"--signature", "rot13"}, "there are atoship", true},
		"lines that are no headers":    {"POST / HTTP/1.1\nwhat is this\n", body, nil, "line 2 is no header", true},
		"a time that is not RFC 3339":  {headers, body, []string{"--at", "yesterday"}, "--at", true},
		"a secret that is not there":   {headers, body, []string{"--secret", "$NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE", true},
		"a file for headers not there": {"", body, []string{"--headers", "@/nonexistent/file"}, "reading an argument", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{
				"verify", "--secret", "@" + writeFile(t, "secret", deskSecret+"\n"),
				"--headers", "@" + writeFile(t, "headers", tc.headers), "--body", "@" + writeFile(t, "body", tc.body),
			}, tc.more...)
			out, err := runCommand(t, "", args...)
			if err != nil {
				out += err.Error()
			}
			if (err != nil) != tc.fails || !strings.Contains(out, tc.says) {
				t.Errorf("%s (error: %v), want %q", out, err, tc.says)
			}
			if strings.Contains(out, deskSecret) {
				t.Errorf("the secret is printed: %s", out)
			}
		})
	}
}

func TestListenCommandPrintsWhatItReceives(t *testing.T) {
	t.Parallel()
	spec := caddycmd.Commands()[appID]
	cmd := &cobra.Command{Use: spec.Name, SilenceUsage: true, SilenceErrors: true}
	spec.CobraFunc(cmd)
	said, sayer := io.Pipe()
	printed, printer := io.Pipe()
	cmd.SetErr(sayer)
	cmd.SetOut(printer)
	cmd.SetArgs([]string{"listen", "--port", "0", "--json", "--secret", "@" + writeFile(t, "secret", deskSecret)})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()

	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := regexp.MustCompile(`http://[^,]+`).FindString(line)
	const body = `{"event":"label.created"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, addr+"/in", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Atoship-Signature", deskSignature(body))
	req.Header.Set("X-Atoship-Event-Id", "evt_1")
	answered := make(chan int, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	var got struct {
		Path       string
		Signatures []struct{ Valid bool }
	}
	if err := json.NewDecoder(printed).Decode(&got); err != nil || got.Path != "/in" || len(got.Signatures) != 1 || !got.Signatures[0].Valid {
		t.Errorf("printed %+v (%v)", got, err)
	}
	if status := <-answered; status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the command ended with %v", err)
	}
}

func TestTheCaddyfileToBeginWithLoads(t *testing.T) {
	t.Setenv("WEBHOOKS_KEY", testKey)
	t.Setenv("DESK_SECRET", deskSecret)
	var file strings.Builder
	for line := range strings.Lines(listenCommand().Long) {
		if text, ok := strings.CutPrefix(line, "    "); ok {
			file.WriteString(text)
		}
	}
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(file.String()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("%v\n%s", err, &file)
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") { // by four blanks, as Markdown and terminals like it
			t.Errorf("a warning: %v", w)
		}
	}
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	c.Admin, c.StorageRaw = &caddy.AdminConfig{Disabled: true}, json.RawMessage(`{"module":"file_system","root":"`+t.TempDir()+`"}`)
	if err := caddy.Validate(&c); err != nil {
		t.Error(err)
	}
}

func TestSendCommandPublishesAndShowsWhoGetsIt(t *testing.T) {
	t.Parallel()
	var got struct {
		ID, Event, Environment, Tenant string
		Data                           json.RawMessage
	}
	ingest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/events":
			return // as Caddy does
		case r.Header.Get("Authorization") != "Bearer secret-token":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"detail":"who are you?"}`)
		case json.NewDecoder(r.Body).Decode(&got) != nil || got.Event == "bad":
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"detail":"unknown event type","pointer":"/event"}`)
		default:
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id":"evt_1","duplicate":false,"deliveries":[{"id":"dlv_1","endpoint":"orders","backups":["dr"],"route":"labels"}]}`)
		}
	}))
	t.Cleanup(ingest.Close)
	to := []string{"--to", ingest.URL + "/events", "--token", "@" + writeFile(t, "token", "secret-token\n")}
	out, err := runCommand(t, `{"n":1}`, append([]string{"send", "label.created", "--data", "-", "--env", "sandbox", "--tenant", "acme", "--id", "evt_1"}, to...)...)
	if err != nil || !strings.Contains(out, "event evt_1 accepted") || !strings.Contains(out, "dlv_1     orders    dr       labels") {
		t.Errorf("%s (%v)", out, err)
	}
	if got.ID != "evt_1" || got.Environment != "sandbox" || got.Tenant != "acme" || string(got.Data) != `{"n":1}` {
		t.Errorf("published %+v", got)
	}
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"refused with its place":      {append([]string{"send", "bad"}, to...), "422: unknown event type (at /event)"},
		"no token":                    {[]string{"send", "a", "--to", ingest.URL + "/events"}, "401: who are you?"},
		"a path that is no ingest":    {[]string{"send", "a", "--to", ingest.URL + "/elsewhere"}, "is the path right?"},
		"data that is not JSON":       {append([]string{"send", "a", "--data", "text"}, to...), "--data is not JSON"},
		"no event type":               {append([]string{"send"}, to...), "takes one <event type>"},
		"nowhere to send it":          {[]string{"send", "a"}, "to"},
		"a gateway that is not there": {[]string{"send", "a", "--to", "http://127.0.0.1:1/events"}, "publishing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := runCommand(t, "", tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(out+err.Error(), "secret-token") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
