package scenario

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// scenarioMax is how long one scenario may take.
const scenarioMax = 90 * time.Second

// runner runs scenarios and reports them.
type runner struct {
	env    Env
	client Client
	out    io.Writer
}

// Main runs the scenarios that the environment names and ends the program, with status
// 1 if one failed. The module is the path of the library, whose version is reported.
func Main(module string, open func(Env) (Client, error)) {
	env, err := EnvFromOS()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	client, err := open(env)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	fmt.Printf("@ version %s\n", moduleVersion(module))
	r := &runner{env: env, client: client, out: os.Stdout}
	if !r.runAll(context.Background()) {
		os.Exit(1)
	}
}

func moduleVersion(module string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return "unknown"
}

func (r *runner) runAll(ctx context.Context) bool {
	ok := true
	for _, name := range r.env.Scenarios {
		ok = r.run(ctx, name) && ok
	}
	return ok
}

// run reports whether the scenario held, or has nothing to hold.
func (r *runner) run(ctx context.Context, name string) bool {
	fmt.Fprintf(r.out, "@ start %s\n", name)
	ctx, cancel := context.WithTimeout(ctx, scenarioMax)
	defer cancel()
	began := time.Now()
	note, err := r.call(ctx, name)
	ms := time.Since(began).Milliseconds()
	switch {
	case err == nil:
		fmt.Fprintf(r.out, "@ ok %s %d %s\n", name, ms, note)
	case isNotApplicable(err):
		fmt.Fprintf(r.out, "@ na %s %s\n", name, oneLine(err))
	default:
		fmt.Fprintf(r.out, "@ fail %s %d %s\n", name, ms, oneLine(err))
		return false
	}
	return true
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func (r *runner) call(ctx context.Context, name string) (note string, err error) {
	topic := r.env.Prefix + "-" + name
	switch name {
	case "create":
		return "", r.create(ctx, topic)
	case "first-use":
		return "", r.firstUse(ctx, topic)
	case "none", "gzip", "snappy", "lz4", "zstd":
		return "", r.roundTrip(ctx, topic, ProduceConfig{Codec: name}, 40)
	case "idempotent":
		return "", r.roundTrip(ctx, topic, ProduceConfig{Codec: "none", Idempotent: true}, 200)
	case "from-start":
		return "", r.readFrom(ctx, topic, Position{}, 0)
	case "from-offset":
		return "", r.readFrom(ctx, topic, Position{Offset: 37}, 37)
	case "from-time":
		return "", r.readFrom(ctx, topic, Position{Millis: r.env.StartMillis + 41500}, 42)
	case "group-classic":
		return "", r.group(ctx, topic, Classic)
	case "group-consumer":
		return "", r.group(ctx, topic, Consumer)
	case "commit-resume":
		return "", r.commitAndResume(ctx, topic)
	case "admin":
		return r.admin(ctx, topic)
	case "unknown-topic":
		return "", r.expect(UnknownTopic, r.client.Unknown(ctx, topic))
	case "too-large":
		return "", r.tooLarge(ctx, topic)
	case "failover":
		return r.failover(ctx, topic)
	}
	return "", fmt.Errorf("there is no such scenario")
}
