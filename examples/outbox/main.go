// Outbox keeps a consumer's offsets together with the output of the consumer, so
// that each record counts exactly once, whenever the program is stopped.
//
//	go run ./examples/outbox
//
// A group commits offsets to the log. A program that fails between writing its
// output and committing does some records again. Here the output, balances of
// accounts, and the offsets that it was made from are one file that is replaced
// as a whole: after a crash both are from the same moment. In a program with a
// database they would be two tables and one transaction.
//
// The program shows it by starting itself again as a consumer, and killing that
// some times between its reading and its writing. In the end the balances must be
// right to the cent, else it exits with status 1.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/leatlog/leat"
)

const (
	topic      = "payments"
	payments   = 20_000
	accounts   = 100
	kills      = 8
	batchLimit = 250
)

func main() {
	dir := flag.String("consume", "", "run as the consumer in this `directory` (used by the program itself)")
	flag.Parse()
	err := error(nil)
	if *dir != "" {
		err = consume(context.Background(), *dir)
	} else {
		err = run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "outbox:", err)
		os.Exit(1)
	}
}

// run produces, has the consumer killed, lets it finish, and checks the output.
func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "leat-outbox")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	want, err := produce(ctx, dir)
	if err != nil {
		return fmt.Errorf("producing: %w", err)
	}
	for range kills {
		if err := consumeAndKill(ctx, dir, 1+rand.IntN(8)); err != nil {
			return fmt.Errorf("consuming until killed: %w", err)
		}
	}
	if err := consumeAndKill(ctx, dir, 0); err != nil {
		return fmt.Errorf("consuming: %w", err)
	}

	got, err := load(outputFile(dir))
	if err != nil {
		return err
	}
	fmt.Printf("outbox: %d payments, applied %d after %d kills\n", payments, got.Applied, kills)
	if got.Applied != payments {
		return fmt.Errorf("%d payments were applied, want %d", got.Applied, payments)
	}
	for account, cents := range want {
		if got.Balances[account] != cents {
			return fmt.Errorf("account %s has %d cents, want %d", account, got.Balances[account], cents)
		}
	}
	return nil
}

// produce stores payments and returns what the balances must be.
func produce(ctx context.Context, dir string) (map[string]int64, error) {
	log, err := leat.Open(ctx, leat.Config{Dir: logDir(dir)})
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if _, err := log.CreateTopic(ctx, topic, leat.TopicConfig{Partitions: 4}); err != nil {
		return nil, err
	}
	p, err := log.NewProducer()
	if err != nil {
		return nil, err
	}
	want := make(map[string]int64)
	for range payments {
		account := fmt.Sprint("account-", rand.IntN(accounts))
		cents := rand.Int64N(20_000) - 10_000
		want[account] += cents
		p.Produce(ctx, leat.Record{Topic: topic, Key: []byte(account), Value: strconv.AppendInt(nil, cents, 10)}, nil)
	}
	if err := p.Close(); err != nil {
		return nil, err
	}
	return want, log.Close()
}

// consumeAndKill runs the consumer as a process of its own and kills it when it
// has applied that many batches and is about to store the last of them; with 0 it
// waits for it to finish.
func consumeAndKill(ctx context.Context, dir string, batches int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-consume", dir)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe() // each line lets the consumer go on
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	killed := false
	lines := bufio.NewScanner(stdout)
	for n := 1; lines.Scan(); n++ {
		if n == batches {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				return err
			}
			break
		}
		if _, err := fmt.Fprintln(stdin); err != nil {
			break // it ended; Wait tells how
		}
	}
	if killed {
		_ = cmd.Wait() // says that it was killed
		return nil
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return err
	}
	if batches > 0 {
		return fmt.Errorf("it ended before it had applied %d batches", batches)
	}
	return nil
}

// consume applies payments to the balances until it has caught up. Before it
// stores what it has applied it says so, and waits for a line: the moment at
// which it is killed.
func consume(ctx context.Context, dir string) error {
	log, err := leat.Open(ctx, leat.Config{Dir: logDir(dir)})
	if err != nil {
		return err
	}
	defer log.Close()
	out, err := load(outputFile(dir))
	if err != nil {
		return err
	}
	c, err := log.NewConsumer(leat.Assign(topic), leat.StartAt(func(p *leat.Partition) (leat.Offset, error) {
		return out.Offsets[partitionName(p.Topic().Name(), p.Number())], nil // 0 at first
	}))
	if err != nil {
		return err
	}
	defer c.Close()

	answers := bufio.NewReader(os.Stdin)
	for behind(c) {
		records, err := c.Poll(ctx, batchLimit)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := out.apply(&r); err != nil {
				return err
			}
		}
		fmt.Println("applied", len(records))
		if _, err := answers.ReadString('\n'); err != nil {
			return err
		}
		if err := out.save(outputFile(dir)); err != nil {
			return err
		}
	}
	return log.Close()
}

// behind reports whether the consumer has something to read.
func behind(c *leat.Consumer) bool {
	for _, lag := range c.Lag() {
		if lag > 0 {
			return true
		}
	}
	return false
}

func logDir(dir string) string     { return filepath.Join(dir, "log") }
func outputFile(dir string) string { return filepath.Join(dir, "balances.json") }

func partitionName(topic string, partition int32) string {
	return strings.Join([]string{topic, strconv.Itoa(int(partition))}, "/")
}
