package peer

import "fmt"

// fill sees to it that an answer tells of each partition that was asked for, once,
// and of no others.
type fill struct {
	from  answerer
	index *topicIndex
	asked func(i int) *TopicPartition
	seen  []bool
	err   error // the first
}

func newFill(from answerer, index *topicIndex, n int, asked func(i int) *TopicPartition) *fill {
	return &fill{from: from, index: index, asked: asked, seen: make([]bool, n)}
}

// place returns where a partition of the answer belongs, or -1.
func (f *fill) place(topic string, id [16]byte, partition int32) int {
	k, ok := f.index.index(topic, id, partition)
	if !ok || f.seen[k] {
		if f.err == nil {
			f.err = fmt.Errorf("%w: node %d answered %s for what was not asked, or twice: topic %q %x partition %d",
				ErrMalformed, f.from.node, f.from.api.Name(), topic, id, partition)
		}
		return -1
	}
	f.seen[k] = true
	return k
}

// done returns what is wrong with the answer.
func (f *fill) done() error {
	if f.err != nil {
		return f.err
	}
	for k, seen := range f.seen {
		if !seen {
			return f.from.missingPartition(f.asked(k))
		}
	}
	return nil
}
