package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	heals bool   // another log can be written to: the store works again by itself
	some  bool   // what is small is written: a store that opens again acknowledges for a while
	stays bool   // for the process that is running: it is ended before the disk is put right, and another starts
}

// TestADiskThatFailsLosesNothing wants, of each failure: an error that says what it is, no acknowledgement while it lasts,
// and all that was acknowledged delivered afterwards.
func TestADiskThatFailsLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: runs the real gateway; run without -short")
	}
	t.Parallel()
	for _, c := range []failing{
		{name: "syncs answer EIO", begin: injected("fdatasync,fsync:error=EIO:when=1+"), says: "input/output error"},
		{name: "syncs answer ENOSPC", begin: injected("fdatasync,fsync:error=ENOSPC:when=1+"), says: "no space left on device"},
		{
			name:  "a sync answers EIO, and nothing can be renamed",
			begin: injected("fdatasync:error=EIO:when=1+", "rename,renameat,renameat2:error=ENOSPC:when=1+"), says: "input/output error",
		},
		{name: "the first writes of the log answer EIO", begin: injected("write:error=EIO:when=1+"), says: "input/output error", heals: true},
		{name: "the third writes of the log answer EIO", begin: injected("write:error=EIO:when=3+"), says: "input/output error", heals: true},
		{name: "writes of the log answer ENOSPC", begin: injected("write:error=ENOSPC:when=2+"), says: "no space left on device", heals: true},
		{name: "it is killed at a sync", begin: injected("fdatasync,fsync:signal=SIGKILL:when=2"), dies: true},
		{name: "it is killed at a write of the log", begin: injected("write:signal=SIGKILL:when=2"), dies: true},
		{name: "files may not grow", begin: smallFiles, says: "file too large", some: true},
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
	t.Run("the file system is remounted read-only", func(t *testing.T) {
		t.Parallel()
		root(t)
		tool(t, "unshare", "mount", "findmnt", "mkfs.ext4", "e2fsck")
		f := setup(t)
		var c failing
		f.bin, c = onExt4(t, f)
		f.survives(t, f.start(t), c)
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
	if ctx.Err() != nil && !c.dies { // what was being sent then is left open, whatever the disk did
		t.Fatalf("it neither refused nor failed within 30 s of the disk failing: %d events open\n%s", len(f.publisher.open), gateway.LogTail())
	}
	if !c.dies && !c.heals && !c.some {
		before := len(f.publisher.accepted)
		f.publisher.load(t.Context(), 900)
		if n := len(f.publisher.accepted) - before; n > 0 {
			t.Errorf("%d events were acknowledged while the disk fails", n)
		}
	}
	if c.heals {
		awaitLog(t, gateway, "the store works again")
	}
	if !c.dies {
		awaitLog(t, gateway, "the store failed", c.says)
	}
	if c.stays {
		if err := gateway.Stop(); err != nil {
			t.Logf("stopping the gateway while the disk fails: %v", err)
		}
	}
	if c.dies { // a tracer that misses a thread's end keeps the whole process: it goes then, and the process after it
		ended, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if gateway.Exit(ended) == nil {
			t.Log("it did not die of the injected signal alone")
		}
	}
	mend()
	if c.dies {
		gateway.Kill()
	}
	if c.dies || c.stays {
		gateway = f.start(t)
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

// awaitLog waits until the log says all of this.
func awaitLog(t *testing.T, g *rig.Gateway, says ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(g.Log())
		missing := slices.DeleteFunc(slices.Clone(says), func(s string) bool { return bytes.Contains(text, []byte(s)) })
		if err == nil && len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say %q: %v\n%s", missing, err, g.LogTail())
		}
	}
}

// injected makes system calls fail, or kill, from the n-th of each thread on; detaching strace puts that right. What is injected is
// in strace's words. Syncs and renames fail of every file, so that a store that opens again fails again; writes of the logs there
// are, as the gateway writes to its receiver too.
func injected(what ...string) func(*testing.T, *fixture, *rig.Gateway) func() {
	return func(t *testing.T, _ *fixture, g *rig.Gateway) func() {
		t.Helper()
		args := []string{"-f", "-qq", "-o", os.DevNull, "-p", strconv.Itoa(g.PID())}
		var traced []string
		for _, w := range what {
			calls, _, _ := strings.Cut(w, ":")
			traced = append(traced, calls)
			args = append(args, "-e", "inject="+w)
		}
		args = append(args, "-e", "trace="+strings.Join(traced, ","))
		if traced[0] != "write" {
			return attach(t, g, args)
		}
		for range 5 {
			logs := logsOf(t, g)
			detach := attach(t, g, append(slices.Clip(args), logs...))
			if slices.Equal(logs, logsOf(t, g)) {
				return detach
			}
			detach() // what was published last filled a log, and the next was begun meanwhile
		}
		t.Fatal("the store begins one log after another")
		return nil
	}
}

// attach starts strace and waits until it has every thread; the function returned detaches it.
func attach(t *testing.T, g *rig.Gateway, args []string) func() {
	t.Helper()
	cmd := exec.Command("strace", args...) //nolint:noctx // ended by the function returned
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !traced(t, g.PID()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("strace does not trace every thread of the gateway")
		}
	}
	return func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // its status is the interruption's
	}
}

// traced tells whether every thread of a process has a tracer. One that was killed meanwhile has been traced.
func traced(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if text, err := os.ReadFile(thread); err == nil && bytes.Contains(text, []byte("\nTracerPid:\t0\n")) &&
			!bytes.Contains(text, []byte("\nState:\tZ")) {
			return false
		}
	}
	return true
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

// onExt4 makes a program that runs the gateway with its store on a file system in a file, which becomes read-only at an error,
// as ext4 usually is mounted: the kernel is asked for one. Asking for a remount by hand is no way: it is refused while a file
// is open for writing. Such a file system is checked and mounted anew before it is written to again, so that its gateway must
// end first; with it goes the mount, which nobody else sees, being in a namespace of its own.
func onExt4(t *testing.T, f *fixture) (bin string, c failing) {
	t.Helper()
	image, device := filepath.Join(f.dir, "disk"), filepath.Join(f.dir, "device")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 256<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", image)
	mounted := func(then string) []string {
		return []string{"-m", "sh", "-c", fmt.Sprintf(
			`mkdir -p %[1]s/store && mount -o loop,errors=remount-ro %[2]s %[1]s/store && findmnt -n -o SOURCE %[1]s/store > %[3]s && %[4]s`,
			f.dir, image, device, then), "sh"}
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", mounted("true")...).CombinedOutput(); err != nil {
		t.Skipf("SKIP: needs loop devices: %v: %s", err, out)
	}
	bin = filepath.Join(f.dir, "on-ext4")
	command := mounted("exec " + f.bin + ` "$@"`)
	text := fmt.Sprintf("#!/bin/sh\nexec unshare -m sh -c '%s' sh \"$@\"\n", command[3])
	if err := os.WriteFile(bin, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return bin, failing{
		begin: func(t *testing.T, _ *fixture, _ *rig.Gateway) func() {
			t.Helper()
			name, err := os.ReadFile(device)
			if err != nil {
				t.Fatal(err)
			}
			trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(name))), "trigger_fs_error")
			if err := os.WriteFile(trigger, []byte("a test wants it"), 0o200); errors.Is(err, fs.ErrNotExist) {
				t.Skipf("SKIP: this kernel makes no errors for tests: %v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := exec.CommandContext(t.Context(), "e2fsck", "-fy", image).Run(); err != nil {
					t.Logf("the file system was mended: %v", err) // its status says so
				}
			}
		},
		says:  "read-only file system",
		stays: true,
	}
}
