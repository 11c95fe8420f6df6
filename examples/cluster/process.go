package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"time"
)

// process is a node's process, as its parent has it.
type process struct {
	cfg    NodeConfig
	cmd    *exec.Cmd
	client *rpc.Client
}

// start starts a process and makes it a node.
func start(ctx context.Context, cfg NodeConfig) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cfg: cfg, cmd: exec.Command(program, "-node")}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.client = jsonrpc.NewClient(pipe{out, in})
	if err := p.call(ctx, "Open", cfg, nil); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// pipe is the parent's side of stdio.
type pipe struct {
	io.ReadCloser
	in io.WriteCloser
}

func (p pipe) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p pipe) Close() error                { return errors.Join(p.in.Close(), p.ReadCloser.Close()) }

// call asks the process for something, until ctx ends.
func (p *process) call(ctx context.Context, method string, args, reply any) error {
	call := p.client.Go("Node."+method, args, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error != nil {
			return fmt.Errorf("node %d: %s: %w", p.cfg.Node, method, call.Error)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node %d: %s: %w", p.cfg.Node, method, context.Cause(ctx))
	}
}

// kill ends the process as kill -9 does. One that has ended already stays so.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it fails only if the process has ended
	_ = p.client.Close()     // so that nobody reads when Wait closes the pipes
	_ = p.cmd.Wait()         // the status is that of the kill
}

// closeMax bounds how long a process takes to close its log.
const closeMax = 10 * time.Second

// stop closes the log, and ends the process.
func (p *process) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeMax)
	defer cancel()
	defer p.kill()
	return p.call(ctx, "Close", None{}, nil)
}
