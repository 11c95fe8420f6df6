package leattest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leatlog/leat/internal/history"
)

// nemesisFault is a way to break a cluster of three. do breaks it, waits, and makes
// it whole.
type nemesisFault struct {
	name string
	do   func(r *torture)
}

// nemesisFaults is all of them.
var nemesisFaults = []nemesisFault{
	{"kill-leader", (*torture).killLeader},
	{"kill-all", (*torture).killAll},
	{"kill-two", (*torture).killTwo},
	{"pause-write-power-fail", (*torture).pauseWritePowerFail},
	{"restart", (*torture).restartOne},
	{"isolate", (*torture).isolateOne},
	{"isolate-leader", (*torture).isolateLeader},
	{"one-way", (*torture).cutOneWay},
	{"chain", (*torture).chain},
	{"ring", (*torture).ring},
	{"slow", (*torture).slow},
	{"break", (*torture).breakConnections},
	{"full-disk", (*torture).fullDisk},
	{"failing-fsync", (*torture).failingFsync},
	{"hanging-fsync", (*torture).hangingFsync},
	{"wipe", (*torture).wipe},
}

// nemesis breaks the cluster, one fault after the other, until the time is up.
func (r *torture) nemesis() {
	faults := nemesisFaults
	if *tortureFaults != "" {
		chosen := strings.Split(*tortureFaults, ",")
		faults = slices.DeleteFunc(slices.Clone(faults), func(f nemesisFault) bool { return !slices.Contains(chosen, f.name) })
		if len(faults) != len(chosen) {
			r.t.Fatalf("of the faults %q some are unknown", chosen)
		}
	}
	until := time.Now().Add(*tortureDuration)
	r.hold(500)
	// All of them once in some order, then again, while there is time.
	for time.Now().Before(until) && !r.t.Failed() {
		for _, i := range r.rng.Perm(len(faults)) {
			if !time.Now().Before(until) || r.t.Failed() {
				break
			}
			begun := time.Now()
			faults[i].do(r)
			r.h.Note("nemesis", history.Heal{Within: healWithin})
			if *tortureLog {
				r.t.Logf("%s took %v", faults[i].name, time.Since(begun))
			}
			r.hold(400)
		}
	}
}

func (r *torture) fault(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	r.h.Note("nemesis", history.Fault{What: what})
	if *tortureLog {
		r.t.Log(what)
	}
}

// hold lets the clients go on for a while, up to twice the milliseconds given.
func (r *torture) hold(ms int) { r.pause(time.Duration(ms+r.rng.IntN(ms)) * time.Millisecond) }

// one returns a node, chosen by chance.
func (r *torture) one() int { return 1 + r.rng.IntN(3) }

// others returns the nodes but one, the first chosen by chance.
func (r *torture) others(id int) (int, int) {
	a := 1 + id%3
	b := 1 + a%3
	if r.rng.IntN(2) == 0 {
		return b, a
	}
	return a, b
}

func (r *torture) unsynced() int { return []int{0, 50, 100}[r.rng.IntN(3)] }

func (r *torture) leader() int { return r.c.Leader(tortureTopic, r.rng.Int32N(torturePartitions)) }

func (r *torture) killLeader() {
	id, unsynced := r.leader(), r.unsynced()
	r.fault("crash node %d, a leader, with %d%% of what was not synced", id, unsynced)
	r.c.Crash(unsynced, id)
	r.hold(1000)
	r.c.Start(id)
}

func (r *torture) killAll() {
	unsynced := r.unsynced()
	r.fault("crash all nodes, with %d%% of what was not synced", unsynced)
	r.c.Crash(unsynced, 1, 2, 3)
	r.hold(50)
	r.c.Start(1, 2, 3)
}

func (r *torture) killTwo() {
	a, b := r.others(r.one())
	unsynced := r.unsynced()
	r.fault("crash nodes %d and %d, with %d%% of what was not synced", a, b, unsynced)
	r.c.Crash(unsynced, a, b)
	r.hold(500)
	r.c.Start(a, b)
}

// pauseWritePowerFail leaves what was written to a majority of which one lost power
// and the other is away, and the node that has missed it.
func (r *torture) pauseWritePowerFail() {
	paused := r.one()
	failed, away := r.others(paused)
	r.fault("node %d is away; then node %d loses power and node %d is away instead", paused, failed, away)
	r.c.Isolate(paused)
	r.hold(1000)
	r.c.Kill(failed)
	r.c.Isolate(away)
	r.c.Rejoin(paused)
	r.c.Start(failed) // with the one that was away: a majority
	r.hold(1000)
	r.c.Rejoin(away)
}

func (r *torture) restartOne() {
	id := r.one()
	r.fault("restart node %d", id)
	r.c.Restart(id)
}

func (r *torture) isolateOne() {
	id := r.one()
	r.fault("isolate node %d", id)
	r.c.Isolate(id)
	r.hold(2000)
	r.c.Heal()
}

func (r *torture) isolateLeader() {
	id := r.leader()
	a, b := r.others(id)
	r.fault("cut node %d, a leader, off from the others, not from clients", id)
	r.c.Partition([]int{id}, []int{a, b})
	r.hold(2000)
	r.c.Heal()
}

func (r *torture) cutOneWay() {
	from := r.one()
	to, other := r.others(from)
	r.fault("cut what node %d sends to node %d", from, to)
	r.c.CutOneWay(from, to)
	if r.rng.IntN(2) == 0 {
		r.fault("cut what node %d sends to node %d", from, other)
		r.c.CutOneWay(from, other)
	}
	r.hold(2000)
	r.c.Heal()
}

func (r *torture) chain() {
	id := r.one()
	a, b := r.others(id)
	r.fault("nodes %d and %d hear only node %d", a, b, id)
	r.c.Chain(a, id, b)
	r.hold(2000)
	r.c.Heal()
}

func (r *torture) ring() {
	id := r.one()
	a, b := r.others(id)
	r.fault("each of nodes %d, %d and %d is heard by the next only", id, a, b)
	r.c.OneWayRing(id, a, b)
	r.hold(1000)
	r.c.Heal()
}

func (r *torture) slow() {
	l := Link{Latency: time.Duration(1+r.rng.IntN(30)) * time.Millisecond, Jitter: time.Duration(r.rng.IntN(20)) * time.Millisecond}
	if r.rng.IntN(2) == 0 {
		l.BytesPerSecond = 200_000
	}
	r.fault("slow links: %+v", l)
	r.c.SlowAll(l)
	r.hold(2000)
	r.c.Fast()
}

func (r *torture) breakConnections() {
	r.fault("connections break")
	r.c.SlowAll(Link{BreakChance: 0.01})
	r.hold(1500)
	r.c.Fast()
	r.c.ResetConnections()
}

func (r *torture) fullDisk() {
	id := r.one()
	r.fault("the disk of node %d is full", id)
	r.c.FillDisk(id)
	r.hold(1500)
	r.c.RepairDisk(id)
	r.c.Restart(id)
}

func (r *torture) failingFsync() {
	id := r.one()
	r.fault("fsyncs of node %d fail", id)
	r.c.FailDisk(id)
	r.hold(1500)
	r.c.RepairDisk(id)
	r.c.Restart(id)
}

func (r *torture) hangingFsync() {
	id := r.one()
	r.fault("fsyncs of node %d hang", id)
	r.c.HangDisk(id)
	r.hold(2000)
	r.c.RepairDisk(id)
}

func (r *torture) wipe() {
	id := r.one()
	r.fault("node %d loses its disk", id)
	r.c.Wipe(id)
	r.hold(500)
	r.c.Start(id)
}
