package leat

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	crashRounds = flag.Int("leat.crash-rounds", 60, "kills of TestKill")
	crashSeed   = flag.Uint64("leat.crash-seed", 0, "seed of TestKill; 0 takes a new one")
)

const (
	crashDirEnv  = "LEAT_TEST_CRASH_DIR"
	crashRunEnv  = "LEAT_TEST_CRASH_RUN"
	crashTopic   = "acked"
	crashTrimmed = "trimmed"
	crashBegin   = "BEGIN" // said by the child when its work begins
)

// TestKill kills a process with SIGKILL while it produces, trims, compacts,
// checkpoints, creates and deletes topics, opens or closes its Log, and looks
// after each kill whether every acknowledged record is at its offset, and
// nothing is there twice.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes for some ten seconds")
	}
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with -leat.crash-seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "log")
	acked := newAckedRecords()
	for run := range *crashRounds {
		// From before the Log is open to the middle of a busy life.
		after := time.Duration(rng.Int64N(int64(160 * time.Millisecond)))
		runAndKill(t, dir, run, rng.Uint64(), after, acked)
		acked.verify(t, dir)
		if t.Failed() {
			t.Fatalf("after run %d, killed %v after its start", run, after)
		}
	}
	n := 0
	for _, at := range acked.at {
		n += len(at)
	}
	require.Positive(t, n, "no run came to an acknowledgement")
	t.Logf("%d acknowledged records survived %d kills", n, *crashRounds)
}

// runAndKill starts the child, takes down what it says was acknowledged, and
// kills it.
func runAndKill(t *testing.T, dir string, run int, seed uint64, after time.Duration, acked *ackedRecords) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$", "-test.v")
	cmd.Env = append(os.Environ(), crashDirEnv+"="+dir, fmt.Sprintf("%s=%d/%d", crashRunEnv, run, seed))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	var kill *time.Timer
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			require.True(t, errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed), "%v", err)
			break // a last line without its end does not count
		}
		if line == crashBegin+"\n" {
			kill = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			defer kill.Stop()
		}
		if bad, ok := strings.CutPrefix(line, "BAD "); ok {
			t.Errorf("the child says: %s", bad)
		}
		acked.add(t, line)
	}
	var exit *exec.ExitError
	err = cmd.Wait()
	require.True(t, errors.As(err, &exit) && exit.ExitCode() == -1, "the child was to be killed, it ended with %v\n%s", err, stderr.String())
}

// ackedRecords is what children were told to be stored.
type ackedRecords struct {
	at       map[TopicPartition]map[Offset]string // ids
	logStart map[TopicPartition]Offset            // acknowledged DeleteRecords
}

func newAckedRecords() *ackedRecords {
	return &ackedRecords{at: map[TopicPartition]map[Offset]string{}, logStart: map[TopicPartition]Offset{}}
}

// add takes a line "ACK topic partition offset id" or "TRIM topic partition
// offset" of a child.
func (a *ackedRecords) add(t *testing.T, line string) {
	f := strings.Fields(line)
	if len(f) < 4 || (f[0] != "ACK" && f[0] != "TRIM") {
		return
	}
	partition, err := strconv.Atoi(f[2])
	require.NoError(t, err, line)
	offset, err := strconv.ParseInt(f[3], 10, 64)
	require.NoError(t, err, line)
	tp := TopicPartition{Topic: f[1], Partition: int32(partition)}
	if f[0] == "TRIM" {
		a.logStart[tp] = max(a.logStart[tp], Offset(offset))
		return
	}
	if a.at[tp] == nil {
		a.at[tp] = map[Offset]string{}
	}
	if before, ok := a.at[tp][Offset(offset)]; ok {
		t.Errorf("%v: offset %d was given to %s and to %s", tp, offset, before, f[4])
	}
	a.at[tp][Offset(offset)] = f[4]
}

// verify opens the Log and compares.
func (a *ackedRecords) verify(t *testing.T, dir string) {
	ctx := t.Context()
	l, err := Open(ctx, Config{Dir: dir})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	for tp, want := range a.at {
		seen := map[string]Offset{}
		topic, err := l.Topic(ctx, tp.Topic)
		require.NoError(t, err)
		p, err := topic.Partition(tp.Partition)
		require.NoError(t, err)
		info, err := p.Info(ctx)
		require.NoError(t, err)
		if info.LogStart < a.logStart[tp] {
			t.Errorf("%v: the log starts at %d, DeleteRecords up to %d was acknowledged", tp, info.LogStart, a.logStart[tp])
		}
		c, err := l.NewConsumer(Assign(tp.Topic, tp.Partition), StartAt(Earliest), WithMaxPollRecords(10000))
		require.NoError(t, err)
		next := info.LogStart
		for next < info.HighWatermark {
			rs, err := c.Poll(ctx, 0)
			require.NoError(t, err)
			for _, r := range rs {
				if r.Offset != next {
					t.Errorf("%v: offset %d follows %d", tp, r.Offset, next-1)
				}
				next = r.Offset + 1
				id, err := crashID(r.Value)
				if err != nil {
					t.Errorf("%v: offset %d: %v", tp, r.Offset, err)
				}
				if before, ok := seen[id]; ok {
					t.Errorf("%v: %s is at %d and at %d", tp, id, before, r.Offset)
				}
				seen[id] = r.Offset
				if w, ok := want[r.Offset]; ok && w != id {
					t.Errorf("%v: offset %d holds %s, acknowledged was %s", tp, r.Offset, id, w)
				}
			}
		}
		require.NoError(t, c.Close())
		for o, id := range want {
			if at, ok := seen[id]; o >= info.LogStart && (!ok || at != o) {
				t.Errorf("%v: %s was acknowledged at %d and is gone (log [%d, %d))", tp, id, o, info.LogStart, info.HighWatermark)
			}
		}
	}
}

// crashValue makes a value that says its id and can be checked.
func crashValue(id string, size int) []byte {
	sum := sha256.Sum256([]byte(id))
	return append([]byte(id+" "+hex.EncodeToString(sum[:8])+" "), bytes.Repeat(sum[:1], size)...)
}

func crashID(value []byte) (string, error) {
	f := bytes.SplitN(value, []byte(" "), 3)
	if len(f) != 3 || !bytes.Equal(value, crashValue(string(f[0]), len(f[2]))) {
		return "", fmt.Errorf("the value is not what was produced: %.40q", value)
	}
	return string(f[0]), nil
}

// TestKillChild is the process that TestKill kills.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(crashDirEnv)
	if dir == "" {
		t.Skip("runs as a child of TestKill")
	}
	var run int
	var seed uint64
	_, err := fmt.Sscanf(os.Getenv(crashRunEnv), "%d/%d", &run, &seed)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed, 1))
	c := &crashChild{dir: dir, id: fmt.Sprintf("r%d", run)}
	c.say(crashBegin)
	for { // until the kill
		c.live(rng, time.Duration(10+rng.IntN(60))*time.Millisecond)
	}
}

type crashChild struct {
	dir string
	id  string

	mu sync.Mutex // of standard output, and next
	n  int
}

func (c *crashChild) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Printf(format+"\n", args...)
}

func (c *crashChild) bad(err error) {
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		c.say("BAD %v", strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

func (c *crashChild) nextID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return fmt.Sprintf("%s-%d", c.id, c.n)
}

func (c *crashChild) ack(m RecordMetadata, id string) {
	c.say("ACK %s %d %d %s", m.Topic, m.Partition, m.Offset, id)
}

// live opens the Log, works on it in every way at once, and closes it.
func (c *crashChild) live(rng *rand.Rand, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	// Small memtables, so that flushes and compactions are met too.
	l, err := Open(context.Background(), Config{Dir: c.dir, MemTableBytes: 1 << 20})
	if err != nil {
		c.bad(err)
		return
	}
	defer func() { c.bad(l.Close()) }()
	for _, name := range []string{crashTopic, crashTrimmed} {
		if _, err := l.CreateTopic(context.Background(), name, TopicConfig{Partitions: 3}); err != nil && !errors.Is(err, ErrTopicExists) {
			c.bad(err)
		}
	}
	var wg sync.WaitGroup
	seeds := [3]uint64{rng.Uint64(), rng.Uint64(), rng.Uint64()}
	wg.Go(func() { c.produceSync(ctx, l, rand.New(rand.NewPCG(seeds[0], 0))) })
	wg.Go(func() { c.produceAsync(ctx, l, rand.New(rand.NewPCG(seeds[1], 0))) })
	wg.Go(func() { c.change(ctx, l, rand.New(rand.NewPCG(seeds[2], 0))) })
	wg.Wait()
}

func (c *crashChild) produceSync(ctx context.Context, l *Log, rng *rand.Rand) {
	p, err := l.NewProducer()
	if err != nil {
		c.bad(err)
		return
	}
	for ctx.Err() == nil {
		ids := make([]string, 1+rng.IntN(4))
		rs := make([]Record, len(ids))
		for i := range rs {
			ids[i] = c.nextID()
			topic := crashTopic
			if rng.IntN(4) == 0 {
				topic = crashTrimmed
			}
			rs[i] = Record{Topic: topic, Key: []byte(ids[i]), Value: crashValue(ids[i], rng.IntN(300))}
		}
		ms, err := p.ProduceSync(context.Background(), rs...)
		c.bad(err)
		for i, m := range ms {
			c.ack(m, ids[i])
		}
	}
	c.bad(p.Close())
}

func (c *crashChild) produceAsync(ctx context.Context, l *Log, rng *rand.Rand) {
	codecs := []Compression{Uncompressed, LZ4, Zstd, Snappy, Gzip}
	p, err := l.NewProducer(WithCompression(codecs[rng.IntN(len(codecs))]), WithBatchBytes(16<<10), WithBufferBytes(128<<10))
	if err != nil {
		c.bad(err)
		return
	}
	for ctx.Err() == nil {
		id := c.nextID()
		p.Produce(ctx, Record{Topic: crashTopic, Value: crashValue(id, rng.IntN(2000))}, func(m RecordMetadata, err error) {
			if err == nil {
				c.ack(m, id)
			} else {
				c.bad(err)
			}
		})
	}
	c.bad(p.Close())
}

// change does everything that writes besides producing.
func (c *crashChild) change(ctx context.Context, l *Log, rng *rand.Rand) {
	for ctx.Err() == nil {
		switch rng.IntN(4) {
		case 0:
			topic, err := l.Topic(ctx, crashTrimmed)
			if err != nil {
				c.bad(err)
				continue
			}
			p, err := topic.Partition(int32(rng.IntN(3)))
			if err != nil {
				c.bad(err)
				continue
			}
			info, err := p.Info(ctx)
			if err != nil {
				c.bad(err)
				continue
			}
			to := info.LogStart + Offset(rng.Int64N(int64(info.HighWatermark-info.LogStart)+1))
			if err := p.DeleteRecords(ctx, to); err != nil {
				c.bad(err)
				continue
			}
			c.say("TRIM %s %d %d", crashTrimmed, p.Number(), to)
		case 1:
			name := "scratch-" + c.nextID()
			if _, err := l.CreateTopic(ctx, name, TopicConfig{Partitions: 2}); err != nil {
				c.bad(err)
				continue
			}
			c.bad(l.DeleteTopic(ctx, name))
		case 2:
			dir := filepath.Join(filepath.Dir(c.dir), fmt.Sprintf("copy-%s-%d", c.id, rng.Uint64()))
			c.bad(l.Checkpoint(ctx, dir))
			c.bad(os.RemoveAll(dir))
		case 3:
			c.bad(l.store.Flush())
		}
	}
}
