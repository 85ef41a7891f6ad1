// Package readme_test runs every command of the README as it stands there, in its order, from the top of the checkout,
// and compares what they print with what the README shows. blocks_test.go says how the README marks its blocks.
package readme_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

const top = "../.."

func TestTheReadmesCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: starts servers on the README's own ports; run without -short")
	}
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands, err := blocks(string(text))
	if err != nil {
		t.Fatalf("README.md: %v", err)
	}
	needs(t)
	// Caddy keeps its data and certificates below these; the user's own stay as they are.
	env := append(os.Environ(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	for _, c := range commands {
		run(t, c, env)
	}
}

// needs skips where the commands cannot run as they stand.
func needs(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP: the README's commands need %s", tool)
		}
	}
	for _, addr := range []string{"127.0.0.1:2019", "127.0.0.1:8080", "127.0.0.1:8443"} {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = conn.Close()
			t.Skipf("SKIP: something listens at %s already, which the README's commands need", addr)
		}
	}
}

func run(t *testing.T, c block, env []string) {
	t.Helper()
	switch {
	case c.by != "":
		if _, err := os.Stat(filepath.Join(top, c.by)); err != nil {
			t.Errorf("README.md:%d is said to be run by a file that is not there: %v", c.line, err)
		}
	case c.background != "":
		background(t, c, env)
	default:
		foreground(t, c, env)
	}
}

// script runs with the first failing command ending it.
func script(ctx context.Context, c block, env []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", c.script)
	cmd.Dir, cmd.Env = top, env
	return cmd
}

func foreground(t *testing.T, c block, env []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(10 * time.Second)
	for {
		cmd := script(ctx, c, env)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if err == nil && (c.output == "" || matches(c.output, stdout.String())) {
			return
		}
		if !c.eventually || time.Now().After(end) {
			t.Errorf("README.md:%d: %v\n%s--- printed\n%s\n--- the README shows\n%s\n--- standard error\n%s",
				c.line, err, c.script, stdout.String(), c.output, stderr.String())
			return
		}
		<-tick.C
	}
}

// background starts a block in a process group of its own and ends the whole group with the test: `go run` has a child.
func background(t *testing.T, c block, env []string) {
	t.Helper()
	cmd := script(context.Background(), c, env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("README.md:%d: %v", c.line, err)
	}
	var exit error // of the script; read after ended
	ended := make(chan struct{})
	go func() {
		exit = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Errorf("README.md:%d did not end within 15s of SIGTERM", c.line)
		}
		_ = log.Close()
	})

	// The first start compiles Caddy, which takes minutes on a cold cache; a test may take ten in all.
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	up := make(chan error, 1)
	go func() {
		for addr := range strings.FieldsSeq(c.background) {
			if err := rig.WaitListening(ctx, addr); err != nil {
				up <- err
				return
			}
		}
		up <- nil
	}()
	select {
	case err = <-up:
		if err == nil {
			return
		}
	case <-ended:
		err = exit
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("README.md:%d ended, or does not listen at %s: %v\n%s", c.line, c.background, err, strings.TrimSpace(string(said)))
}
