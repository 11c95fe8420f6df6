package raftmeta

import "errors"

// PlanUpkeep returns what the node that leads the metadata should propose now, so
// that the cluster comes to what it should be: lost replicas are replaced, draining
// nodes lose theirs, the metadata has its voters and observers; and once nothing of
// that is due or under way, replicas are evened out, and then leaders. It starts
// moves only while fewer than movesMax shards of partitions are moving; 0 or less is
// no limit. There is at most one command for each shard. It is to be asked again
// when the image has changed; nothing comes back when all is done or on its way.
//
// The error tells what cannot be done, in the errors of PlanDrain and
// PlanReplaceLost; what can be is returned with it.
func PlanUpkeep(img *Image, movesMax int) ([]Command, error) {
	u := upkeep{img: img, left: movesMax, limited: movesMax > 0, planned: make(map[ShardID]bool)}
	for s := range img.Shards() {
		if s.Moving() {
			u.busy = true
			if s.Kind != ShardMetadata {
				u.left--
			}
		}
	}
	moves, err := PlanReplaceLost(img)
	u.add(moves)
	errs := []error{err}
	for b := range img.Brokers() {
		if b.Draining {
			moves, err := PlanDrain(img, b.ID)
			u.add(moves)
			errs = append(errs, err)
		}
	}
	if m := PlanMetadata(img); m != nil {
		u.add([]*MoveShard{m})
	}
	if !u.busy {
		u.add(PlanBalance(img))
	}
	if !u.busy {
		for _, c := range PlanLeaders(img) {
			u.commands = append(u.commands, c)
		}
	}
	return u.commands, errors.Join(errs...)
}

// upkeep collects commands.
type upkeep struct {
	img      *Image
	commands []Command
	planned  map[ShardID]bool
	busy     bool // something moves, or is to
	left     int  // how many more shards of partitions may move
	limited  bool
}

func (u *upkeep) add(moves []*MoveShard) {
	for _, m := range moves {
		u.busy = true
		s := u.img.Shard(m.Shard)
		// The aim of a move that is under way is changed in any case.
		starts := s.Kind != ShardMetadata && !s.Moving()
		if u.planned[m.Shard] || starts && u.limited && u.left <= 0 {
			continue
		}
		if starts {
			u.left--
		}
		u.planned[m.Shard] = true
		u.commands = append(u.commands, m)
	}
}
