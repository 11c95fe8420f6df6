package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBudgetInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		require.True(t, b.try(8))
		require.False(t, b.try(3))
		var order []string
		var mu sync.Mutex
		wait := func(name string, n int64) {
			go func() {
				got, err := b.acquire(context.Background(), n)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				time.Sleep(time.Second)
				b.release(got)
			}()
			synctest.Wait()
		}
		got := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(order)
		}
		wait("large", 100) // as much as there is
		wait("small", 1)   // would fit, and waits for its turn
		require.False(t, b.try(1))
		require.Empty(t, got())
		b.release(8)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"large"}, got())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"large", "small"}, got())
		time.Sleep(time.Second)
		synctest.Wait()
		require.True(t, b.try(10))
	})
}

func TestBudgetGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		require.True(t, b.try(6))
		cause := errors.New("closed")
		ctx, cancel := context.WithCancelCause(context.Background())
		failed := make(chan error, 1)
		go func() {
			_, err := b.acquire(ctx, 10)
			failed <- err
		}()
		synctest.Wait()
		behind := make(chan struct{})
		go func() {
			_, err := b.acquire(context.Background(), 4)
			if err != nil {
				t.Error(err)
			}
			close(behind)
		}()
		synctest.Wait()
		cancel(cause)
		require.ErrorIs(t, <-failed, cause)
		<-behind // who stands behind goes on
		b.release(10)
		require.True(t, b.try(10))
	})
}
