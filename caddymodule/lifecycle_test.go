package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

func TestConfigIsValidatedBesideARunningServer(t *testing.T) {
	g := newGateway(t)
	config := g.caddyfile("user_agent one"+everything, "")
	g.mustLoad(config)
	adapted, err := adapt(strings.Replace(config, "user_agent one", "user_agent two", 1))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var c *caddy.Config
		if err := caddy.StrictUnmarshalJSON(adapted, &c); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(c); err != nil {
			t.Fatal(err)
		}
	}
	g.works("one")
}

func TestValidatingLeavesNoStoreBehind(t *testing.T) {
	g := newGateway(t)
	adapted, err := adapt(g.caddyfile(everything, ""))
	if err != nil {
		t.Fatal(err)
	}
	var c *caddy.Config
	if err := caddy.StrictUnmarshalJSON(adapted, &c); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(c); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "state")); !os.IsNotExist(err) {
		t.Errorf("validating made the store's directory (%v)", err)
	}
}

func TestReloadWithABadExpressionLeavesTheRunningConfig(t *testing.T) {
	g := newGateway(t)
	g.mustLoad(g.caddyfile("user_agent one"+everything, ""))
	for range 3 {
		bad := g.caddyfile("user_agent two"+everything+"\n\t\troute r {\n\t\t\twhen `data.x ==`\n\t\t\tto all\n\t\t}", "")
		line := 1 + strings.Count(bad[:strings.Index(bad, "data.x")], "\n")
		err := g.load(bad, false)
		if err == nil {
			t.Fatal("an incomplete expression was accepted")
		}
		for _, want := range []string{fmt.Sprintf("Caddyfile:%d: ", line), "data.x ==", "^"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error lacks %q:\n%v", want, err)
			}
		}
		g.works("one")
	}
}

// Apps start in random order: in twenty rounds ours has started before the failing one, and has not.
func TestReloadThatAnotherAppSpoilsLeavesTheRunningConfig(t *testing.T) {
	g := newGateway(t)
	g.mustLoad(g.caddyfile("user_agent one"+everything, ""))
	spoilt := g.caddyfile("user_agent two"+everything, "")
	for range 20 {
		if err := g.load(spoilt, true); err == nil {
			t.Fatal("the failing app has started")
		}
		g.works("one")
	}
	g.mustLoad(spoilt)
	g.works("two")
}

func TestFirstConfigThatAnotherAppSpoilsClosesTheStore(t *testing.T) {
	g := newGateway(t)
	config := g.caddyfile("user_agent one"+everything, "")
	for range 10 {
		if err := g.load(config, true); err == nil {
			t.Fatal("the failing app has started")
		}
		g.storeIsFree("state")
	}
	g.mustLoad(config)
	g.works("one")
}

// storeIsFree opens and closes the store, which fails while another holds it.
func (g *gateway) storeIsFree(name string) {
	g.t.Helper()
	s, err := embedded.Open(context.Background(), embedded.Options{Dir: filepath.Join(g.dir, name)})
	if err != nil {
		g.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		g.t.Fatal(err)
	}
}

func TestChangingTheStoreClosesTheOldOne(t *testing.T) {
	g := newGateway(t)
	g.mustLoad(g.caddyfile("user_agent one"+everything, ""))
	g.works("one")
	g.mustLoad(g.caddyfile("user_agent two"+strings.Replace(everything, "DIR/state", "DIR/other", 1), ""))
	g.works("two")
	g.storeIsFree("state")
}

func TestRemovingTheAppClosesItsStoreAndAddingItOpensIt(t *testing.T) {
	g := newGateway(t)
	with := g.caddyfile("user_agent one"+everything, "")
	g.mustLoad(with)
	g.publish(`{"id":"evt_1","event":"label.created","data":{}}`)
	g.next()

	g.mustLoad("{\n\tadmin off\n\tpersist_config off\n}\nhttp://" + g.address + " {\n\trespond 404\n}\n")
	if status, _ := g.publish(`{"event":"label.created","data":{}}`); status != http.StatusNotFound {
		t.Errorf("without the app a publisher is answered %d", status)
	}
	g.storeIsFree("state")

	g.mustLoad(with)
	if status, answer := g.publish(`{"id":"evt_1","event":"label.created","data":{}}`); status != http.StatusOK || !strings.Contains(answer, `"duplicate":true`) {
		t.Errorf("the event is not known any more: %d %s", status, answer)
	}
	g.works("one")
}

// Two names of one directory are one store: two engines on it would write over each other.
func TestStoreUnderAnotherNameIsTheSameStore(t *testing.T) {
	g := newGateway(t)
	if err := os.Symlink(g.dir, filepath.Join(g.dir, "alias")); err != nil {
		t.Fatal(err)
	}
	g.mustLoad(g.caddyfile("user_agent one"+everything, ""))
	before := activeEngine()
	g.mustLoad(g.caddyfile("user_agent two"+strings.Replace(everything, "DIR/state", "DIR/alias/state", 1), ""))
	g.works("two")
	if activeEngine() != before {
		t.Error("the second name started an engine of its own")
	}
}

func TestHundredReloadsUnderLoadLoseNothingAndLeakNothing(t *testing.T) {
	g := newGateway(t)
	reload := func(i int) { g.mustLoad(g.caddyfile(fmt.Sprintf("user_agent agent-%d", i)+everything, "")) }
	for i := range 5 {
		reload(i) // whatever is made once is made now
	}
	g.works("agent-4")
	before := runtime.NumGoroutine()

	stop, published := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				published <- n
				return
			default:
			}
			status, answer, err := g.post(fmt.Sprintf(`{"id":"evt_%d","event":"label.created","data":{}}`, n))
			if err != nil || status != http.StatusAccepted && status != http.StatusOK {
				t.Errorf("event %d was answered %d %s %v", n, status, answer, err)
			}
			n++
		}
	}()
	for i := range 100 {
		reload(i)
	}
	close(stop)
	n := <-published

	missing := make(map[string]bool, n)
	for i := range n {
		missing[fmt.Sprintf("evt_%d", i)] = true
	}
	for len(missing) > 0 {
		delete(missing, g.next().header.Get("X-AtoShip-Event-Id"))
	}
	t.Logf("%d events over 100 reloads", n)
	if err := settled(func() bool { return runtime.NumGoroutine() <= before+10 }); err != nil {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
	}
	if n := len(transports.known); n != 1 {
		t.Errorf("%d transports are known, one is in use", n)
	}
}

// settled waits until cond holds; goroutines of closed connections and old servers take a moment to end.
func settled(cond func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
