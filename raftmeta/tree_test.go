package raftmeta

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// balanced returns the height of the subtree and fails where it is no AVL tree in
// order.
func balanced(t *rapid.T, n *node[int, *int], lo, hi int) int32 {
	if n == nil {
		return 0
	}
	if n.key < lo || n.key > hi {
		t.Fatalf("key %d is not within %d and %d", n.key, lo, hi)
	}
	l, r := balanced(t, n.left, lo, n.key-1), balanced(t, n.right, n.key+1, hi)
	if l-r > 1 || r-l > 1 || n.height != max(l, r)+1 || n.size != n.left.sizeOf()+n.right.sizeOf()+1 {
		t.Fatalf("node %d: heights %d and %d, its own %d, size %d", n.key, l, r, n.height, n.size)
	}
	return n.height
}

// TestTree compares trees with maps, old versions too, and their differences.
func TestTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			tree ordered[int, *int]
			want map[int]*int
		}
		versions := []version{{want: map[int]*int{}}}
		for range rapid.IntRange(1, 120).Draw(t, "changes") {
			v := versions[len(versions)-1]
			next := version{v.tree, maps.Clone(v.want)}
			key := rapid.IntRange(0, 60).Draw(t, "key")
			if rapid.IntRange(0, 2).Draw(t, "op") == 0 {
				next.tree = next.tree.without(key)
				delete(next.want, key)
			} else {
				value := new(int)
				next.tree = next.tree.with(key, value)
				next.want[key] = value
			}
			versions = append(versions, next)
		}
		for _, v := range versions {
			balanced(t, v.tree.root, 0, 60)
			if got := maps.Collect(v.tree.all()); !maps.Equal(got, v.want) || v.tree.len() != len(v.want) {
				t.Fatalf("got %v, want %v", got, v.want)
			}
			for key := range 61 {
				if got, ok := v.tree.get(key); got != v.want[key] || ok != (v.want[key] != nil) {
					t.Fatalf("key %d: got %v, %t", key, got, ok)
				}
			}
			lo := rapid.IntRange(-1, 62).Draw(t, "lo")
			var want []int
			for _, key := range slices.Sorted(maps.Keys(v.want)) {
				if key >= lo {
					want = append(want, key)
				}
			}
			var got []int
			for key := range from(v.tree.tree, cmp.Compare[int], lo) {
				got = append(got, key)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("from %d: got %v, want %v", lo, got, want)
			}
		}
		a := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "a")]
		b := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "b")]
		var got []int
		for c := range diff(a.tree.tree, b.tree.tree, cmp.Compare[int], func(x, y *int) bool { return x == y }) {
			if c.old != a.want[c.key] || c.new != b.want[c.key] || c.had != (c.old != nil) || c.have != (c.new != nil) {
				t.Fatalf("change %+v", c)
			}
			got = append(got, c.key)
		}
		var want []int
		for key := range 61 {
			if a.want[key] != b.want[key] {
				want = append(want, key)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("differences at %v, want %v", got, want)
		}
	})
}

// TestDiffSkips sees that what two trees share is not gone over.
func TestDiffSkips(t *testing.T) {
	t.Parallel()
	var tr ordered[int, *int]
	for i := range 100_000 {
		tr = tr.with(i, new(int))
	}
	changed := tr.with(77_777, new(int)).without(12).with(200_000, new(int))
	compared, found := 0, 0
	compare := func(a, b int) int { compared++; return cmp.Compare(a, b) }
	for range diff(tr.tree, changed.tree, compare, func(x, y *int) bool { compared++; return x == y }) {
		found++
	}
	if found != 3 || compared > 300 {
		t.Errorf("%d differences found with %d comparisons, want 3 with a few times the height", found, compared)
	}
}
