package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is one run of the program. It is used by one goroutine at a time, but for stderr.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(name string) string

	client connection // the flags of all commands that talk to brokers
	json   bool

	running bool // the command line was right, the command has begun
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv}
}

// usageError is a command line that says something which cannot be done.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// hintError adds to an error what can be done about it.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

func hintf(err error, format string, args ...any) error {
	return &hintError{err, fmt.Sprintf(format, args...)}
}

// run runs the command that args name and returns the exit status. The first SIGINT or
// SIGTERM ends ctx for the command, which then ends in order; the next one ends the
// process.
func (a *app) run(ctx context.Context, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // the next signal does what signals do

	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	status := exitFailed
	var usage *usageError
	if !a.running || errors.As(err, &usage) {
		status = exitUsage
	}
	if errors.Is(err, syscall.EPIPE) { // who reads our output has seen enough
		return status
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(a.stderr, "%s: %s\n", cmd.CommandPath(), strings.TrimSpace(err.Error()))
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", hint)
	}
	if status == exitUsage {
		fmt.Fprintf(a.stderr, "usage: %s\n%q tells more\n", cmd.UseLine(), cmd.CommandPath()+" --help")
	}
	return status
}

// does makes the RunE of a command.
func (a *app) does(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.running = true
		return f(cmd.Context(), args)
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "leat",
		Short: "A log with Kafka's model: serve one, and use it or any Kafka",
		Long: "leat serves a log to Kafka's clients (leat serve), and works with topics, records and\n" +
			"groups over Kafka's protocol, of leat and of any other Kafka.",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetVersionTemplate("leat {{.Version}}\n")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON")
	a.client.addFlags(root.PersistentFlags(), a.getenv)
	root.AddCommand(a.serveCommand(), a.topicCommand(), a.produceCommand(), a.consumeCommand(), a.groupCommand(), a.clusterCommand(), a.benchCommand())
	noStrayArguments(root)
	return root
}

// noStrayArguments makes a command that only has others tell of a word that is none of
// them, where cobra would show its help and succeed.
func noStrayArguments(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		noStrayArguments(c)
	}
	if cmd.HasParent() && cmd.HasSubCommands() && cmd.RunE == nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			msg := fmt.Sprintf("there is no command %q", args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				msg += fmt.Sprintf("; did you mean %q?", near[0])
			}
			return usagef("%s", msg)
		}
		cmd.Args = cobra.ArbitraryArgs
		cmd.SuggestionsMinimumDistance = 2
	}
}

// version is what the Go tool knows of the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
