package bench

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// diskChunkBytes is how much the raw file gets between two fdatasyncs when
	// nobody waits for single records.
	diskChunkBytes = 8 << 20
	// diskBlockBytes is what one synchronous append writes at least: the file
	// system's block.
	diskBlockBytes = 4 << 10
	// diskReadBytes is the size of a sequential read.
	diskReadBytes = 1 << 20
)

// disk is the floor under every system: the same bytes appended to one file with
// fdatasync, without framing, checksums or an index, and read back in sequence.
func disk() System {
	return System{
		Name:       "disk",
		Persistent: true,
		Open: func(_ context.Context, cfg Config) (Instance, error) {
			return diskInstance{path: filepath.Join(cfg.Dir, "raw"), recordBytes: cfg.RecordBytes}, nil
		},
	}
}

type diskInstance struct {
	path        string
	recordBytes int
}

func (d diskInstance) append() (*os.File, error) {
	return os.OpenFile(d.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

func (d diskInstance) NewProducer(context.Context, Goal) (Producer, error) {
	f, err := d.append()
	if err != nil {
		return nil, err
	}
	return &diskProducer{file: f, buf: make([]byte, 0, diskChunkBytes)}, nil
}

func (d diskInstance) NewSyncProducer(_ context.Context, writers int) (SyncProducer, error) {
	f, err := d.append()
	if err != nil {
		return nil, err
	}
	p := &diskSyncProducer{file: f, blocks: make([][]byte, writers)}
	for i := range p.blocks {
		p.blocks[i] = make([]byte, 0, diskBlockBytes)
	}
	return p, nil
}

func (d diskInstance) NewConsumer(context.Context) (Consumer, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	whole := diskReadBytes / d.recordBytes * d.recordBytes
	return &diskConsumer{file: f, buf: make([]byte, whole), recordBytes: d.recordBytes}, nil
}

func (diskInstance) Close() error { return nil }

// diskProducer gathers values and writes them a chunk at a time.
type diskProducer struct {
	file *os.File
	buf  []byte
}

func (p *diskProducer) Send(_ context.Context, _, value []byte) error {
	p.buf = append(p.buf, value...)
	if len(p.buf) < diskChunkBytes {
		return nil
	}
	return p.write()
}

func (p *diskProducer) write() error {
	if _, err := p.file.Write(p.buf); err != nil {
		return err
	}
	p.buf = p.buf[:0]
	return unix.Fdatasync(int(p.file.Fd()))
}

func (p *diskProducer) Flush(context.Context) error {
	if len(p.buf) == 0 {
		return nil
	}
	return p.write()
}

func (p *diskProducer) Close() error { return p.file.Close() }

// diskSyncProducer writes each record as a block (or more) of its own, one after
// the other: a bare file has nothing that would let writers share an fsync.
type diskSyncProducer struct {
	blocks [][]byte // one for each writer

	mu   sync.Mutex
	file *os.File
}

func (p *diskSyncProducer) SendSync(_ context.Context, writer int, value []byte) error {
	block := append(p.blocks[writer][:0], value...)
	if rest := len(block) % diskBlockBytes; rest != 0 {
		block = append(block, make([]byte, diskBlockBytes-rest)...)
	}
	p.blocks[writer] = block
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.file.Write(block); err != nil {
		return err
	}
	return unix.Fdatasync(int(p.file.Fd()))
}

func (p *diskSyncProducer) Close() error { return p.file.Close() }

// diskConsumer reads the file in large pieces and cuts them where the records
// must be: the file itself says nothing of them.
type diskConsumer struct {
	file        *os.File
	buf         []byte // a whole number of records
	recordBytes int
}

func (c *diskConsumer) Poll(_ context.Context, visit func([]byte)) (int, error) {
	n, err := io.ReadFull(c.file, c.buf)
	if n == 0 {
		return 0, err
	}
	if err != nil && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	records := 0
	for piece := c.buf[:n]; len(piece) >= c.recordBytes; piece = piece[c.recordBytes:] {
		visit(piece[:c.recordBytes])
		records++
	}
	return records, nil
}

func (c *diskConsumer) Pause(context.Context) error  { return nil }
func (c *diskConsumer) Resume(context.Context) error { return nil }
func (c *diskConsumer) Close() error                 { return c.file.Close() }
