package caddymodule

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

func TestAShellCompletesEndpointsAndChoices(t *testing.T) {
	t.Parallel()
	gateway, _ := cannedGateway(t, map[string]string{
		"GET /endpoints": `{"items":[{"id":"audit","url":"https://a.example/","backups":[]},{"id":"orders","url":"https://o.example/\u001b","backups":[]}],"next":""}`,
	})
	const nothing = ":4\n" // and no files
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"audit\thttps://a.example/\norders\thttps://o.example/·\n" + nothing, []string{"endpoints", "show", "--address", gateway, ""}},
		{"orders\thttps://o.example/·\n" + nothing, []string{"deliveries", "list", "--address", gateway, "--endpoint", "or"}},
		{"orders\thttps://o.example/·\n" + nothing, []string{"replay", "--address", gateway, "--endpoint", "o"}},
		{"pending\ndelivered\nexhausted\ncancelled\n" + nothing, []string{"deliveries", "list", "--state", ""}},
		{"exhausted\ndelivered\ncancelled\nmissing\n" + nothing, []string{"replay", "--state", ""}},
		{"routed\nunrouted\nundecided\n" + nothing, []string{"events", "list", "--routing", ""}},
		{nothing, []string{"endpoints", "check", "--address", gateway, "orders", ""}},
		{"audit\thttps://a.example/\n" + nothing, []string{"endpoints", "pause", "--address", gateway, "a"}},
		{"list\tLists deliveries, newest event first\n" + nothing, []string{"deliveries", "l"}},
		{"lint\tFinds rules that cannot have been meant\n" + nothing, []string{"routes", "l"}},
		{"erase\tErases payloads from the log and from the disk\n" + nothing, []string{"store", "e"}},
		{"rotate-secret\tGives an endpoint a new signing secret, and shows it", []string{"endpoints", "rot"}},
	} {
		t.Run(strings.Join(tc.args[:2], " "), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := shownAt(t, &out, append([]string{"__complete"}, tc.args...)...); err != nil || !strings.HasPrefix(out.String(), tc.want) {
				t.Errorf("%q (%v), want %q", &out, err, tc.want)
			}
		})
	}
	var out bytes.Buffer // a gateway that is not there
	if err := shownAt(t, &out, "__complete", "endpoints", "show", "--address", freeAddress(t), ""); err != nil || out.String() != nothing {
		t.Errorf("%q (%v)", &out, err)
	}
}

func TestAReplayShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	gateway, _ := cannedGateway(t, map[string]string{"GET /replays/rep_1": cannedReplay})
	c, err := client.New(gateway, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	running := client.Replay{ID: "rep_1", Status: "running", Progress: 0.5, Replayed: 500_000, Matched: 1_000_000}
	done, err := watchReplay(t.Context(), c, running, &screen)
	if err != nil || done.Status != "done" {
		t.Errorf("%+v, %v", done, err)
	}
	line, rest, _ := strings.Cut(strings.TrimPrefix(screen.String(), "\r"), "\r")
	if want := "[" + strings.Repeat("█", 15) + strings.Repeat(" ", 15) + "]  50 %  500000 of 1000000"; line != want || utf8.RuneCountInString(line) > 80 {
		t.Errorf("%q, want %q", line, want)
	}
	if rest != "\x1b[K" { // it is gone when there is something to say
		t.Errorf("left %q", rest)
	}
}
