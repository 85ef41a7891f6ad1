package rig

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what of the process lies in the machine's memory now, and what did at most since its start (VmRSS and VmHWM), in
// bytes. Linux only, like Sockets.
func (g *Gateway) Memory() (now, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the gateway's memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "VmHWM" {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("unexpected /proc/%d/status: %w", g.cmd.Process.Pid, err)
		}
		if name == "VmRSS" {
			now = kilobytes << 10
		} else {
			peak = kilobytes << 10
		}
	}
	if now == 0 || peak == 0 {
		return 0, 0, fmt.Errorf("unexpected /proc/%d/status: no memory in it", g.cmd.Process.Pid)
	}
	return now, peak, nil
}

// Sockets counts the open ones of the process: listeners, publishers' connections and those to receivers.
func (g *Gateway) Sockets() (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", g.cmd.Process.Pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("reading the gateway's open files: %w", err)
	}
	sockets := 0
	for _, file := range files {
		target, err := os.Readlink(dir + "/" + file.Name())
		if err == nil && strings.HasPrefix(target, "socket:") { // else closed meanwhile
			sockets++
		}
	}
	return sockets, nil
}

// Written is what the process had the file systems write to disk since its start, in bytes (write_bytes of /proc/pid/io).
// Linux only.
func (g *Gateway) Written() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", g.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading what the gateway has written: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "write_bytes: "); found {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64) //nolint:wrapcheck // a number that the kernel wrote
		}
	}
	return 0, fmt.Errorf("unexpected /proc/%d/io: no write_bytes in it", g.cmd.Process.Pid)
}
