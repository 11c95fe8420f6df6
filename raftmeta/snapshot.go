package raftmeta

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	snapshotMagic   = "leatmeta"
	snapshotVersion = 1

	// snapshotRecordBytesMax bounds a record: a topic with all its partitions.
	snapshotRecordBytesMax = 64 << 20

	// pieceBytes is what is allocated at once for what a record claims to be.
	pieceBytes = 64 << 10
)

// The kinds of a snapshot's records, in the order in which they come.
const (
	recordCluster = 1
	recordBroker  = 2
	recordShard   = 3
	recordTopic   = 4
	recordEnd     = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBadSnapshot is what a Restore returns for what is not a whole snapshot of a
// version that this software knows.
var ErrBadSnapshot = errors.New("raftmeta: bad Raft snapshot of the metadata")

// ErrClosed is what a closed Watcher returns.
var ErrClosed = errors.New("raftmeta: the watcher is closed")

// Snapshot writes the newest image. It does not hold up Apply.
func (m *Machine) Snapshot(w io.Writer) error { return m.Image().Snapshot(w) }

// Snapshot writes the image; the package documentation has the layout. Equal
// images are equal bytes.
func (img *Image) Snapshot(w io.Writer) error {
	s := &snapshotWriter{w: bufio.NewWriter(w)}
	s.write([]byte(snapshotMagic))
	s.write([]byte{snapshotVersion})
	var e encoder
	e.uvarint(uint64(img.index))
	e.string(img.clusterID)
	img.settings.encode(&e)
	e.uvarint(uint64(img.nextShard))
	e.uvarint(uint64(img.nextPartition))
	e.varint(img.nextProducerID)
	s.record(recordCluster, e)
	for _, b := range img.brokers.all() {
		e = e[:0]
		b.encode(&e)
		s.record(recordBroker, e)
	}
	for _, sh := range img.shards.all() {
		e = e[:0]
		sh.encode(&e)
		s.record(recordShard, e)
	}
	for _, t := range img.topics.all() {
		e = e[:0]
		t.encode(&e)
		s.record(recordTopic, e)
	}
	s.record(recordEnd, nil)
	s.write(binary.BigEndian.AppendUint32(nil, s.crc))
	if s.err == nil {
		s.err = s.w.Flush()
	}
	if s.err != nil {
		return fmt.Errorf("raftmeta: writing a Raft snapshot: %w", s.err)
	}
	return nil
}

type snapshotWriter struct {
	w   *bufio.Writer
	crc uint32 // of all that was written
	err error
}

func (s *snapshotWriter) write(b []byte) {
	if s.err == nil {
		s.crc = crc32.Update(s.crc, castagnoli, b)
		_, s.err = s.w.Write(b)
	}
}

func (s *snapshotWriter) record(kind byte, payload []byte) {
	head := binary.AppendUvarint([]byte{kind}, uint64(len(payload)))
	if len(payload) > snapshotRecordBytesMax && s.err == nil {
		s.err = fmt.Errorf("a record of %d bytes", len(payload))
	}
	s.write(head)
	s.write(payload)
}

// Restore replaces the image by the one that Snapshot wrote. Where it returns an
// error, ErrBadSnapshot or the reader's, the image stays what it was. It reads
// nothing behind the snapshot's end but what it buffers.
func (m *Machine) Restore(r io.Reader) error {
	if err := m.Err(); err != nil {
		return err
	}
	img, err := ReadImage(r)
	if err != nil {
		return err
	}
	m.publish(img)
	return nil
}

// ReadImage reads the image that Snapshot wrote, with the errors of
// Machine.Restore.
func ReadImage(r io.Reader) (*Image, error) {
	s := &snapshotReader{r: bufio.NewReader(r)}
	img, err := s.image()
	switch {
	case err == nil:
		return img, nil
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: it ends too early", ErrBadSnapshot)
	case errors.Is(err, errMalformed):
		return nil, fmt.Errorf("%w: %w", ErrBadSnapshot, err)
	}
	return nil, fmt.Errorf("raftmeta: reading a Raft snapshot: %w", err)
}

type snapshotReader struct {
	r   *bufio.Reader
	crc uint32 // of all that was read
}

func (s *snapshotReader) image() (*Image, error) {
	head, err := s.read(len(snapshotMagic) + 1)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head, []byte(snapshotMagic)) {
		return nil, fmt.Errorf("%w: it does not begin as one", errMalformed)
	}
	if v := head[len(snapshotMagic)]; v != snapshotVersion {
		return nil, fmt.Errorf("%w: version %d, and %d is known", errMalformed, v, snapshotVersion)
	}
	img := emptyImage()
	for last := byte(0); last != recordEnd; {
		kind, payload, err := s.record()
		if err != nil {
			return nil, err
		}
		// The cluster comes first and once, then each kind in its turn.
		if kind < last || (last == 0) != (kind == recordCluster) || kind > recordEnd {
			return nil, fmt.Errorf("%w: a record of kind %d after one of kind %d", errMalformed, kind, last)
		}
		last = kind
		d := &decoder{b: payload}
		s.put(img, kind, d)
		if err := d.finish(); err != nil {
			return nil, err
		}
	}
	want := s.crc
	sum, err := s.read(4)
	if err != nil {
		return nil, err
	}
	if got := binary.BigEndian.Uint32(sum); got != want {
		return nil, fmt.Errorf("%w: checksum %08x, and it has %08x", errMalformed, want, got)
	}
	if v := img.settings.MetadataVersion; v < MetadataVersionMin || v > MetadataVersionMax {
		return nil, fmt.Errorf("%w: metadata version %d, and this software knows %d to %d", errMalformed, v, MetadataVersionMin, MetadataVersionMax)
	}
	return img, nil
}

// put decodes a record into the image.
func (s *snapshotReader) put(img *Image, kind byte, d *decoder) {
	switch kind {
	case recordCluster:
		img.index = takeNumber[RaftIndex](d)
		img.clusterID = d.string()
		img.settings = decodeSettings(d)
		img.nextShard = takeNumber[ShardID](d)
		img.nextPartition = takeNumber[PartitionID](d)
		img.nextProducerID = d.varint()
	case recordBroker:
		if b := decodeBroker(d); d.err == nil {
			if img.Broker(b.ID) != nil {
				d.fail("node %d twice", b.ID)
			}
			img.putBroker(b)
		}
	case recordShard:
		if sh := decodeShard(d); d.err == nil {
			if img.Shard(sh.ID) != nil {
				d.fail("shard %d twice", sh.ID)
			}
			img.putShard(sh)
		}
	case recordTopic:
		if t := decodeTopic(d); d.err == nil {
			if img.Topic(t.Name) != nil || img.TopicByID(t.ID) != nil {
				d.fail("topic %q twice", t.Name)
			}
			for _, p := range t.Partitions {
				if _, taken := img.PartitionIn(p.Shard, p.ID); taken || img.Shard(p.Shard) == nil {
					d.fail("partition %d of topic %q in shard %d", p.ID, t.Name, p.Shard)
					return
				}
			}
			img.putTopic(t)
			img.addPartitions(t, 0)
		}
	}
}

// record reads a record; memory grows with what is there, not with what it
// claims.
func (s *snapshotReader) record() (kind byte, payload []byte, err error) {
	k, err := s.read(1)
	if err != nil {
		return 0, nil, err
	}
	n, err := s.uvarint()
	if err != nil {
		return 0, nil, err
	}
	if n > snapshotRecordBytesMax {
		return 0, nil, fmt.Errorf("%w: a record of %d bytes", errMalformed, n)
	}
	payload, err = s.read(int(n))
	return k[0], payload, err
}

// read reads n bytes.
func (s *snapshotReader) read(n int) ([]byte, error) {
	var b []byte
	for len(b) < n {
		lo := len(b)
		b = append(b, make([]byte, min(n-lo, max(pieceBytes, lo)))...)
		if _, err := io.ReadFull(s.r, b[lo:]); err != nil {
			return nil, err
		}
		s.crc = crc32.Update(s.crc, castagnoli, b[lo:])
	}
	return b, nil
}

// uvarint reads a number of up to four bytes.
func (s *snapshotReader) uvarint() (uint64, error) {
	var n uint64
	for shift := 0; shift < 28; shift += 7 {
		b, err := s.read(1)
		if err != nil {
			return 0, err
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: the length of a record has more than four bytes", errMalformed)
}
