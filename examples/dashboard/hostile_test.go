package dashboard_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The names that an operator, who may have copied them from somewhere, gives: as hostile as what others send.
const hostileCaddyfile = `{
	admin off
	auto_https off
	skip_install_trust
	webhooks {
		store embedded %[2]s/store
		secret_key {env.WEBHOOKS_KEY}
		catalog %[2]s/events.json
		egress {
			address 127.0.0.1
			upcoming 127.0.0.9 2099-01-01
			allow 127.0.0.1
			ports any
			plain_http
		}
		defaults {
			breaker off
		}
		endpoint audit {
			url %[3]s/audit?<script>executed()</script>
			description "\"><script>executed()</script>"
			secret {env.PAST_SECRET}
			retry off
		}
		route rare {
			when ` + "`data.note contains \"'><img src=x onerror=executed()>\"`" + `
			to audit
		}
		route all {
			to audit
		}
	}
}
http://127.0.0.1:%[1]d {
	webhooks_ingest /events {
		auth none
	}
	webhooks_dashboard /webhooks/* {
		auth token {env.DASHBOARD_TOKEN}
	}
	respond 404
}
`

// answerHostile writes a response that no library would: hostile words in the status line, in names and values of headers, and
// more than enough of them in the body.
func answerHostile(w http.ResponseWriter, _ *http.Request) {
	conn, b, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	answer(b)
}

func answer(b *bufio.ReadWriter) {
	body := "\"><script>executed()</script>\x00\x1b[2J\u202e<iframe srcdoc=\"<script>parent.executed()</script>\">\n" + strings.Repeat("W", 5000)
	_, _ = b.WriteString("HTTP/1.1 500 <script>executed()</script>\r\n" +
		"Content-Type: text/html\r\nConnection: close\r\nX-'Evil`: \"><img src=x onerror=executed()>\r\n" +
		"X-Wide: " + strings.Repeat("W", 900) + "\r\nX-Bytes: \xff\xfe\x80<svg/onload=executed()>\r\nRefresh: 0;url=javascript:executed()\r\n\r\n" + body)
	_ = b.Flush()
}

func TestHostileTextInEveryFieldIsShownAndDoesNothing(t *testing.T) {
	t.Parallel()
	chromium := needBrowser(t)
	receiver := httptest.NewServer(http.HandlerFunc(answerHostile))
	t.Cleanup(receiver.Close)
	dir := t.TempDir()
	const evil = `"><script>executed()</script>`
	type eventType struct {
		Type    string `json:"type"`
		Group   string `json:"group"`
		Trigger string `json:"trigger"`
		Example any    `json:"example"`
	}
	catalog, err := json.Marshal(map[string][]eventType{"events": {
		{"constructor", evil, evil, map[string]string{evil: evil}},
		{strings.Repeat("x", 100), strings.Repeat("W", 200), strings.Repeat("W", 200), evil},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "events.json"), catalog, 0o600); err != nil {
		t.Fatal(err)
	}
	site := runGateway(t, dir, hostileCaddyfile, dir, receiver.URL)
	click(t, "hostile.mjs", map[string]string{
		"base": site + "/webhooks/", "ingest": site + "/events", "token": token, "chromium": chromium, "receiver": receiver.URL,
	})
}
