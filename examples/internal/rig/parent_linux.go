package rig

import (
	"os/exec"
	"syscall"
)

// endWithParent lets the process die with us, however we end: a test that is killed must not leave a gateway behind.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
