//go:build unix

package procs

import "syscall"

// Stop stops the child with SIGSTOP: it does nothing until Continue, and its
// connections stay.
func (p *Proc) Stop() error { return p.signal(syscall.SIGSTOP) }

// Continue lets a child go on that was stopped.
func (p *Proc) Continue() error { return p.signal(syscall.SIGCONT) }
