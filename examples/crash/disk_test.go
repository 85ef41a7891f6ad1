package crash

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// tool finds a program, or skips the test loudly.
func tool(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("SKIP: needs %s: %v", name, err)
		}
	}
}

func root(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: needs root, to mount a file system in a namespace of its own")
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// failing is a disk that fails while the gateway runs, and is then put right.
type failing struct {
	name string
	// begin makes it fail; the function it returns puts it right.
	begin func(t *testing.T, f *fixture, g *rig.Gateway) (mend func())
	says  string // what the log must hold
	dies  bool   // the process is killed, and starts again
	heals bool   // a store that opens again can write a little before it fails again
}

// TestADiskThatFailsLosesNothing wants, of each failure: an error that says what it is, no acknowledgement while it lasts,
// and all that was acknowledged delivered afterwards.
func TestADiskThatFailsLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: runs the real gateway; run without -short")
	}
	t.Parallel()
	for _, c := range []failing{
		{"syncs answer EIO", injected("fdatasync,fsync", "error=EIO", "1+"), "input/output error", false, false},
		{"syncs answer ENOSPC", injected("fdatasync,fsync", "error=ENOSPC", "1+"), "no space left on device", false, false},
		{"it is killed at a sync", injected("fdatasync,fsync", "signal=SIGKILL", "2"), "", true, false},
		{"it is killed at a write of the log", injected("write", "signal=SIGKILL", "2"), "", true, false},
		{"files may not grow", smallFiles, "file too large", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tool(t, "strace", "prlimit")
			f := setup(t)
			f.survives(t, f.start(t), c)
		})
	}
	t.Run("the file system is full", func(t *testing.T) {
		t.Parallel()
		root(t)
		tool(t, "unshare", "nsenter", "mount", "fallocate")
		f := setup(t)
		f.bin = onTmpfs(t, f)
		f.survives(t, f.start(t), failing{begin: full, says: "no space left on device"})
	})
}

// survives publishes before, while and after the disk fails.
func (f *fixture) survives(t *testing.T, gateway *rig.Gateway, c failing) {
	t.Helper()
	if err := gateway.Ready(t.Context(), f.ingest, f.admin); err != nil {
		t.Fatal(err)
	}
	f.publisher.load(t.Context(), 0)
	if len(f.publisher.open) > 0 {
		t.Fatalf("%d events not taken by a healthy gateway", len(f.publisher.open))
	}
	mend := c.begin(t, f, gateway)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for round := 1; len(f.publisher.open) == 0 && ctx.Err() == nil; round++ {
		f.publisher.load(ctx, round)
	}
	if len(f.publisher.open) == 0 {
		t.Fatalf("it never stopped acknowledging\n%s", gateway.LogTail())
	}
	if c.dies {
		_ = gateway.Ended()
		mend()
		gateway = f.start(t)
	} else {
		before := len(f.publisher.accepted)
		f.publisher.load(t.Context(), 900)
		if n := len(f.publisher.accepted) - before; n > 0 && !c.heals {
			t.Errorf("%d events were acknowledged while the disk fails", n)
		}
		text, err := os.ReadFile(gateway.Log())
		if err != nil || !bytes.Contains(text, []byte(c.says)) || !bytes.Contains(text, []byte("the store failed")) {
			t.Errorf("the log does not say %q: %v\n%s", c.says, err, gateway.LogTail())
		}
		mend()
	}
	defer func() {
		if err := gateway.Stop(); err != nil {
			t.Errorf("stopping the gateway: %v\n%s", err, gateway.LogTail())
		}
	}()
	if err := gateway.Ready(t.Context(), f.ingest, f.admin); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); ; {
		f.publisher.load(t.Context(), 901)
		if len(f.publisher.open) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events are still refused a minute after the disk was put right\n%s", len(f.publisher.open), gateway.LogTail())
		}
	}
	f.nothingLost(t)
}

// injected makes system calls fail from the n-th of each thread on; detaching strace puts that right. Syncs fail of every
// file, so that a store that opens again fails again.
func injected(calls, what, when string) func(*testing.T, *fixture, *rig.Gateway) func() {
	return func(t *testing.T, _ *fixture, g *rig.Gateway) func() {
		t.Helper()
		args := []string{
			"-f", "-qq", "-o", os.DevNull, "-e", "trace=" + calls,
			"-e", "inject=" + calls + ":" + what + ":when=" + when, "-p", strconv.Itoa(g.PID()),
		}
		if calls == "write" { // of these files only: the gateway writes to its receiver too
			args = append(args, logsOf(t, g)...)
		}
		cmd := exec.Command("strace", args...) //nolint:noctx // ended by mend
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = cmd.Process.Signal(os.Interrupt)
			_ = cmd.Wait() // its status is the interruption's
		}
	}
}

// logsOf names the logs the store writes to now. Of a store that opened again after an error it writes to another.
func logsOf(t *testing.T, g *rig.Gateway) (args []string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(g.Log()), "store", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log of the store: %v", err)
	}
	for _, log := range logs {
		args = append(args, "-P", log)
	}
	return args
}

// smallFiles bounds the size of every file the process writes.
func smallFiles(t *testing.T, _ *fixture, g *rig.Gateway) func() {
	t.Helper()
	limit := func(soft string) { run(t, "prlimit", "--pid", strconv.Itoa(g.PID()), "--fsize="+soft+":") }
	limit("65536")
	return func() { limit("unlimited") }
}

// onTmpfs makes a program that runs the gateway with its store on a small file system in memory, in a mount namespace of
// its own.
func onTmpfs(t *testing.T, f *fixture) string {
	t.Helper()
	script := filepath.Join(f.dir, "on-tmpfs")
	text := fmt.Sprintf("#!/bin/sh\nmkdir -p %[1]s/store\nexec unshare -m sh -c 'mount -t tmpfs -o size=32m tmpfs %[1]s/store && exec %[2]s \"$@\"' sh \"$@\"\n", f.dir, f.bin)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

func full(t *testing.T, f *fixture, g *rig.Gateway) func() {
	t.Helper()
	in := func(command string) {
		run(t, "nsenter", "-t", strconv.Itoa(g.PID()), "-m", "sh", "-c", command)
	}
	in("fallocate -l 40m " + f.dir + "/fill 2>/dev/null; head -c 40m /dev/zero > " + f.dir + "/store/fill 2>/dev/null || true")
	return func() { in("rm " + f.dir + "/store/fill") }
}
