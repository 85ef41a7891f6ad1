package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Gateway is a running process of the real binary.
type Gateway struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when the process is gone
	err  error         // of the process; read after done
}

// Start runs the binary with the Caddyfile at path. Its data, its certificates and its autosaved configuration live in
// dir, so a second Start with the same dir finds what the first left. Its log is appended to caddy.log there. env
// is added to this process's own environment, as NAME=value.
func Start(bin, path, dir string, env ...string) (*Gateway, error) {
	log, err := os.OpenFile(filepath.Join(dir, "caddy.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the gateway's log: %w", err)
	}
	cmd := exec.Command(bin, "run", "--config", path, "--adapter", "caddyfile") //nolint:noctx // ended by Stop or Kill
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = log, log
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the gateway: %w", errors.Join(err, log.Close()))
	}
	g := &Gateway{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		g.err = cmd.Wait()
		close(g.done)
	}()
	return g, nil
}

// Ready waits until every address accepts connections. When the process ends first, the error carries its log's end.
func (g *Gateway) Ready(ctx context.Context, addrs ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	up := make(chan error, 1)
	go func() {
		for _, addr := range addrs {
			if err := WaitListening(ctx, addr); err != nil {
				up <- err
				return
			}
		}
		up <- nil
	}()
	select {
	case err := <-up:
		if err != nil {
			return fmt.Errorf("%w\n%s", err, g.LogTail())
		}
		return nil
	case <-g.done:
		return fmt.Errorf("the gateway ended before it was ready: %w\n%s", g.err, g.LogTail())
	}
}

// Exit waits for the process to end by itself and returns why, with its log's end; nil if it runs on until ctx ends. It is for
// configurations that must not start: Caddy may listen for a moment before it finds that out.
func (g *Gateway) Exit(ctx context.Context) error {
	select {
	case <-g.done:
		return fmt.Errorf("the gateway ended: %w\n%s", g.err, g.LogTail())
	case <-ctx.Done():
		return nil
	}
}

// Kill ends the process with SIGKILL, as a crash would, and waits until it is gone.
func (g *Gateway) Kill() {
	_ = g.cmd.Process.Kill() // an error means that it is gone already
	<-g.done
	_ = g.log.Close()
}

// Stop asks the process to end and waits for it. One that needs longer than ten seconds is killed, which is an error.
func (g *Gateway) Stop() error {
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.done:
		return errors.Join(g.err, g.log.Close())
	case <-time.After(10 * time.Second):
		g.Kill()
		return errors.New("the gateway did not stop within 10s of SIGTERM")
	}
}

// CPU is the time the process has spent on a processor since its start, in user and kernel mode together. Linux only:
// it reads /proc, whose clock ticks are 10 ms on every architecture.
func (g *Gateway) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the gateway's CPU time: %w", err)
	}
	// The second field, the program's name in parentheses, may hold anything; utime and stime are the 14th and 15th.
	_, rest, found := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("unexpected /proc/%d/stat: %q", g.cmd.Process.Pid, stat)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("unexpected /proc/%d/stat: %w", g.cmd.Process.Pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// LogTail is the end of the gateway's log, for messages about failures.
func (g *Gateway) LogTail() string {
	const tail = 4 << 10
	f, err := os.Open(g.log.Name())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if _, err := f.Seek(-tail, io.SeekEnd); err != nil { // shorter than the tail: read it all
		_, _ = f.Seek(0, io.SeekStart)
	}
	text, _ := io.ReadAll(io.LimitReader(f, tail))
	return string(text)
}
