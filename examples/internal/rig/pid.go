package rig

// PID is the process's id, for tools that look into it from outside.
func (g *Gateway) PID() int { return g.cmd.Process.Pid }

// Log is the path of the gateway's log.
func (g *Gateway) Log() string { return g.log.Name() }
