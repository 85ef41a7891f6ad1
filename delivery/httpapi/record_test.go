package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
)

// recordEnv names a file that the tests append their requests' answers to, one JSON object a line, for another program to
// compare with the OpenAPI document.
const recordEnv = "WEBHOOKS_HTTPAPI_RECORD"

var recording sync.Mutex

// recorded keeps an answer.
func recorded(t testing.TB, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	name := os.Getenv(recordEnv)
	if name == "" {
		return
	}
	line, err := json.Marshal(map[string]any{
		"method": r.Method, "url": r.URL.RequestURI(), "status": w.Code, "header": w.Header(), "body": w.Body.String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	recording.Lock()
	defer recording.Unlock()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}
