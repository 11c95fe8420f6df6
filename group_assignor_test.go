package leat

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGroupAssignors: two members come to own what the assignor that they ask for
// gives them.
func TestGroupAssignors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ask     Assignor
		a, b    []TopicPartition
		running Assignor
	}{
		{"range", Range, append(parts("t", 0, 1), parts("u", 0, 1)...), append(parts("t", 2), parts("u", 2)...), Range},
		{"round-robin", RoundRobin, append(parts("t", 0, 2), parts("u", 1)...), append(parts("t", 1), parts("u", 0, 2)...), RoundRobin},
		{"sticky", Sticky, nil, nil, Uniform},
		{"default", "", nil, nil, Uniform},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := openTest(t, Config{})
			mustTopic(t, l, "t", TopicConfig{Partitions: 3})
			mustTopic(t, l, "u", TopicConfig{Partitions: 3})
			ctx, cancel := context.WithCancel(within(t))
			got := make(chan struct{}, 1)
			poke := OnAssigned(func(context.Context, []TopicPartition) {
				select {
				case got <- struct{}{}:
				default:
				}
			})
			var members []*ConsumerGroup
			polled := make(chan error, 2)
			for _, id := range []string{"a", "b"} { // static, so that their order is known
				g := mustJoin(t, l, "g", []string{"t", "u"}, WithAssignor(tt.ask), WithInstanceID(id), poke)
				members = append(members, g)
				go func() {
					_, err := g.Poll(ctx, 1) // for ever: there is nothing to read
					polled <- err
				}()
			}
			for n := 0; n == 0 || n+len(members[0].Assignment()) != 6; n = len(members[1].Assignment()) {
				select {
				case <-got:
				case <-ctx.Done():
					t.Fatal(members[0].Assignment(), members[1].Assignment())
				}
			}
			a, b := members[0].Assignment(), members[1].Assignment()
			require.ElementsMatch(t, append(parts("t", 0, 1, 2), parts("u", 0, 1, 2)...), append(a, b...))
			if tt.a != nil {
				require.Equal(t, tt.a, a)
				require.Equal(t, tt.b, b)
			}
			d, err := l.DescribeGroup(ctx, "g")
			require.NoError(t, err)
			require.Equal(t, tt.running, d.Assignor)
			cancel()
			for range members {
				if err := <-polled; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
}
