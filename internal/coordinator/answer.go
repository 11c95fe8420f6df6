package coordinator

import "context"

// answer is what a request gets that waits for other members: a JoinGroup for the
// rest of the group, a SyncGroup for the leader.
type answer[T any] struct {
	// done is closed by the partition's goroutine once value and err are set and
	// what they tell is durable. If the partition ends first it stays open.
	done  chan struct{}
	value T
	err   error
}

func newAnswer[T any]() *answer[T] { return &answer[T]{done: make(chan struct{})} }

// reply gives the answer that waits in slot, if any, at the end of the round, and
// empties the slot.
func reply[T any](t *tx, slot **answer[T], value T, err error) {
	a := *slot
	if a == nil {
		return
	}
	*slot = nil
	t.answers = append(t.answers, func() {
		a.value, a.err = value, err
		close(a.done)
	})
}

// replyNow is reply for a request that need not wait.
func replyNow[T any](t *tx, value T) *answer[T] {
	a := newAnswer[T]()
	slot := a
	reply(t, &slot, value, nil)
	return a
}

// await is submit for a request whose answer may come with a later round. It
// returns when the answer is there, ctx ends, or the partition is given up or fails;
// a request whose ctx ended is not taken back.
func await[T any](ctx context.Context, c *Coordinator, number int32, decide func(*tx) (*answer[T], error)) (T, error) {
	var zero T
	var p *partition
	a, err := submit(ctx, c, number, func(t *tx) (*answer[T], error) {
		p = t.partition
		return decide(t)
	})
	if err != nil {
		return zero, err
	}
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-p.done:
	}
	select {
	case <-a.done: // in the last round
		return a.value, a.err
	default:
		return zero, p.reason()
	}
}
