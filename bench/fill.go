package bench

import (
	"context"
	"errors"
)

// fill sends records until their values add up to at least total bytes, and waits
// for them all. It returns how many there were.
func fill(ctx context.Context, in Instance, values *Values, total int64) (n int64, err error) {
	p, err := in.NewProducer(ctx, Throughput)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for ; n*int64(values.size) < total; n++ {
		if err := p.Send(ctx, nil, values.Next()); err != nil {
			return n, err
		}
	}
	return n, p.Flush(ctx)
}
