package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// producerFlags is what commands that produce share.
type producerFlags struct {
	compression string
	acks        string
}

var compressions = []struct {
	name  string
	codec func() kgo.CompressionCodec
}{
	{"none", kgo.NoCompression}, {"gzip", kgo.GzipCompression}, {"snappy", kgo.SnappyCompression},
	{"lz4", kgo.Lz4Compression}, {"zstd", kgo.ZstdCompression},
}

func compressionNames() (names []string) {
	for _, c := range compressions {
		names = append(names, c.name)
	}
	return names
}

func (p *producerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&p.compression, "compression", "z", "none", "`codec` for batches: "+strings.Join(compressionNames(), ", "))
	cmd.Flags().StringVar(&p.acks, "acks", "all", "wait for `all` replicas in sync, for the leader (1), or for nobody (0)")
	completeWords(cmd, "compression", compressionNames()...)
	completeWords(cmd, "acks", "all", "1", "0")
}

// options returns the client's options, or a usageError.
func (p *producerFlags) options() ([]kgo.Opt, error) {
	i := slices.IndexFunc(compressions, func(c struct {
		name  string
		codec func() kgo.CompressionCodec
	}) bool {
		return c.name == p.compression
	})
	if i < 0 {
		return nil, usagef("--compression %q must be one of %s", p.compression, strings.Join(compressionNames(), ", "))
	}
	o := []kgo.Opt{kgo.ProducerBatchCompression(compressions[i].codec())}
	switch p.acks {
	case "all", "-1":
		return append(o, kgo.RequiredAcks(kgo.AllISRAcks())), nil
	case "1":
		return append(o, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()), nil
	case "0":
		return append(o, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()), nil
	}
	return nil, usagef("--acks %q must be all, 1 or 0", p.acks)
}
