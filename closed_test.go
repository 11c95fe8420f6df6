package leat

import (
	"context"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestClosed calls every method of everything that belongs to a closed Log, found
// by reflection so that none is forgotten: those that return an error return
// ErrClosed, the others do no harm. The arguments are zero values but for ctx and
// names.
func TestClosed(t *testing.T) {
	l := openTest(t, Config{})
	topic := mustTopic(t, l, "t", TopicConfig{})
	part, err := topic.Partition(0)
	require.NoError(t, err)
	p, err := l.NewProducer()
	require.NoError(t, err)
	c := mustConsumer(t, l, Assign("t"))
	g := mustJoin(t, l, "g", []string{"t"})
	require.NoError(t, l.Close())

	works := map[string]bool{ // what needs no open Log
		"Topic.Partition": true,
		"Log.Close":       true, "Producer.Close": true, "Consumer.Close": true, "ConsumerGroup.Close": true,
	}
	called := 0
	for _, of := range []any{l, topic, part, p, c, g} {
		v := reflect.ValueOf(of)
		for i := range v.NumMethod() {
			m := v.Method(i)
			name := v.Elem().Type().Name() + "." + v.Type().Method(i).Name
			t.Run(name, func(t *testing.T) {
				out := m.Call(arguments(t, m.Type()))
				if n := len(out); n > 0 && out[n-1].Type() == reflect.TypeFor[error]() {
					err, _ := out[n-1].Interface().(error)
					if works[name] {
						require.NoError(t, err)
						return
					}
					require.ErrorIs(t, err, ErrClosed)
					called++
				}
			})
		}
	}
	require.Greater(t, called, 30)
	for _, err := range c.Records(t.Context()) {
		require.ErrorIs(t, err, ErrClosed)
	}
	for _, err := range g.Records(t.Context()) {
		require.ErrorIs(t, err, ErrClosed)
	}
	told := make(chan error, 1)
	p.Produce(t.Context(), Record{Topic: "t"}, func(_ RecordMetadata, err error) { told <- err })
	require.ErrorIs(t, <-told, ErrClosed)
}

// arguments are those of a call that would be in order, as far as types tell.
func arguments(t *testing.T, f reflect.Type) []reflect.Value {
	var in []reflect.Value
	for i := range f.NumIn() {
		at := f.In(i)
		variadic := f.IsVariadic() && i == f.NumIn()-1
		if variadic {
			at = at.Elem()
		}
		a := reflect.New(at).Elem()
		switch {
		case a.Type() == reflect.TypeFor[Record]():
			a.Set(reflect.ValueOf(Record{Topic: "t"}))
		case a.Type() == reflect.TypeFor[context.Context]():
			a.Set(reflect.ValueOf(t.Context()))
		case a.Kind() == reflect.String:
			a.SetString("t")
		case a.Type() == reflect.TypeFor[[]string]():
			a.Set(reflect.ValueOf([]string{"t"}))
		case a.Type() == reflect.TypeFor[TopicPartition]():
			a.Set(reflect.ValueOf(TopicPartition{"t", 0}))
		case a.Type() == reflect.TypeFor[Start]():
			a.Set(reflect.ValueOf(Start(Earliest)))
		case variadic && a.Type() != reflect.TypeFor[TopicPartition](): // options
			continue
		}
		in = append(in, a)
	}
	return in
}
