package kafka

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A connection is read on as long as little of it is under way, and again once it is
// little; or it ends.
func TestAwaitAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &conn{ctx: ctx, less: make(chan struct{}, 1)}
		const part = appendingBytesMax / 4
		for range 4 {
			c.appendBegins(part)
			require.NoError(t, c.awaitAppends())
		}
		c.appendBegins(part)
		c.appendBegins(part)
		var read error
		done := false
		go func() {
			read = c.awaitAppends()
			done = true
		}()
		synctest.Wait()
		require.False(t, done)
		c.appendEnds(part)
		synctest.Wait()
		require.False(t, done, "one more has to end")
		c.appendEnds(part)
		synctest.Wait()
		require.True(t, done)
		require.NoError(t, read)

		c.appendBegins(2 * appendingBytesMax)
		done = false
		go func() {
			read = c.awaitAppends()
			done = true
		}()
		synctest.Wait()
		require.False(t, done)
		cancel()
		synctest.Wait()
		require.True(t, done)
		require.ErrorIs(t, read, context.Canceled)
	})
}
