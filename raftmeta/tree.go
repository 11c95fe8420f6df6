package raftmeta

import (
	"cmp"
	"iter"
)

// tree is an immutable ordered map: an AVL tree whose changes copy the path to
// what they change and share the rest, so that a change costs the logarithm of
// the size and an older tree stays what it was. The zero tree is empty. Its order
// is what makes snapshots and plans the same on every node.
type tree[K, V any] struct {
	root *node[K, V]
}

type node[K, V any] struct {
	key         K
	value       V
	left, right *node[K, V]
	height      int32 // of a leaf: 1
	size        int   // with both subtrees
}

func (n *node[K, V]) heightOf() int32 {
	if n == nil {
		return 0
	}
	return n.height
}

func (n *node[K, V]) sizeOf() int {
	if n == nil {
		return 0
	}
	return n.size
}

// len returns how many keys there are.
func (t tree[K, V]) len() int { return t.root.sizeOf() }

// get returns the value of key.
func get[K, V any](t tree[K, V], compare func(a, b K) int, key K) (V, bool) {
	for n := t.root; n != nil; {
		switch c := compare(key, n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n.value, true
		}
	}
	var none V
	return none, false
}

// with returns the tree in which key has value.
func with[K, V any](t tree[K, V], compare func(a, b K) int, key K, value V) tree[K, V] {
	return tree[K, V]{insert(t.root, compare, key, value)}
}

// without returns the tree in which key is not.
func without[K, V any](t tree[K, V], compare func(a, b K) int, key K) tree[K, V] {
	return tree[K, V]{remove(t.root, compare, key)}
}

// all yields the keys and values in order.
func (t tree[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { walk(t.root, yield) }
}

func walk[K, V any](n *node[K, V], yield func(K, V) bool) bool {
	return n == nil || walk(n.left, yield) && yield(n.key, n.value) && walk(n.right, yield)
}

// from yields the keys that are not below lo, in order.
func from[K, V any](t tree[K, V], compare func(a, b K) int, lo K) iter.Seq2[K, V] {
	var visit func(n *node[K, V], yield func(K, V) bool) bool
	visit = func(n *node[K, V], yield func(K, V) bool) bool {
		if n == nil {
			return true
		}
		if compare(n.key, lo) < 0 {
			return visit(n.right, yield)
		}
		return visit(n.left, yield) && yield(n.key, n.value) && walk(n.right, yield)
	}
	return func(yield func(K, V) bool) { visit(t.root, yield) }
}

// join makes a balanced node of subtrees whose heights differ by two at most.
func join[K, V any](key K, value V, left, right *node[K, V]) *node[K, V] {
	switch lh, rh := left.heightOf(), right.heightOf(); {
	case lh > rh+1:
		if left.left.heightOf() >= left.right.heightOf() {
			return leaf(left.key, left.value, left.left, leaf(key, value, left.right, right))
		}
		m := left.right
		return leaf(m.key, m.value, leaf(left.key, left.value, left.left, m.left), leaf(key, value, m.right, right))
	case rh > lh+1:
		if right.right.heightOf() >= right.left.heightOf() {
			return leaf(right.key, right.value, leaf(key, value, left, right.left), right.right)
		}
		m := right.left
		return leaf(m.key, m.value, leaf(key, value, left, m.left), leaf(right.key, right.value, m.right, right.right))
	}
	return leaf(key, value, left, right)
}

// leaf makes a node of subtrees whose heights differ by one at most.
func leaf[K, V any](key K, value V, left, right *node[K, V]) *node[K, V] {
	return &node[K, V]{
		key: key, value: value, left: left, right: right,
		height: max(left.heightOf(), right.heightOf()) + 1,
		size:   left.sizeOf() + right.sizeOf() + 1,
	}
}

func insert[K, V any](n *node[K, V], compare func(a, b K) int, key K, value V) *node[K, V] {
	if n == nil {
		return leaf[K, V](key, value, nil, nil)
	}
	switch c := compare(key, n.key); {
	case c < 0:
		return join(n.key, n.value, insert(n.left, compare, key, value), n.right)
	case c > 0:
		return join(n.key, n.value, n.left, insert(n.right, compare, key, value))
	}
	return leaf(key, value, n.left, n.right)
}

func remove[K, V any](n *node[K, V], compare func(a, b K) int, key K) *node[K, V] {
	if n == nil {
		return nil
	}
	switch c := compare(key, n.key); {
	case c < 0:
		left := remove(n.left, compare, key)
		if left == n.left {
			return n
		}
		return join(n.key, n.value, left, n.right)
	case c > 0:
		right := remove(n.right, compare, key)
		if right == n.right {
			return n
		}
		return join(n.key, n.value, n.left, right)
	case n.left == nil:
		return n.right
	case n.right == nil:
		return n.left
	}
	next := first(n.right)
	return join(next.key, next.value, n.left, remove(n.right, compare, next.key))
}

// first returns the node of n's lowest key.
func first[K, V any](n *node[K, V]) *node[K, V] {
	for n.left != nil {
		n = n.left
	}
	return n
}

// A change is a key whose value is not the same in two trees.
type change[K, V any] struct {
	key       K
	old, new  V
	had, have bool // whether the key is in the old tree and in the new one
}

// diff yields what differs between two trees, by key. It skips what they share,
// so that it costs what was changed times the logarithm of the size; same
// decides about values that it cannot skip.
func diff[K, V any](old, new tree[K, V], compare func(a, b K) int, same func(a, b V) bool) iter.Seq[change[K, V]] {
	return func(yield func(change[K, V]) bool) {
		a, b := newCursor(old.root), newCursor(new.root)
		for {
			x, y := a.top(), b.top()
			switch {
			case x == nil && y == nil:
				return
			case x != nil && y != nil && x.n == y.n && x.whole == y.whole:
				a.pop()
				b.pop()
			case x != nil && x.whole && (y == nil || !y.whole || x.n.height >= y.n.height):
				// The taller is taken apart first: a subtree that both share is met
				// as the top of both. One that lies behind the other's key stays whole.
				if y != nil && !y.whole && compare(y.n.key, first(x.n).key) < 0 {
					b.pop()
					if !yield(change[K, V]{key: y.n.key, new: y.n.value, have: true}) {
						return
					}
					continue
				}
				a.open()
			case y != nil && y.whole:
				if x != nil && !x.whole && compare(x.n.key, first(y.n).key) < 0 {
					a.pop()
					if !yield(change[K, V]{key: x.n.key, old: x.n.value, had: true}) {
						return
					}
					continue
				}
				b.open()
			default:
				var c change[K, V]
				order := 0
				switch {
				case x == nil:
					order = 1
				case y == nil:
					order = -1
				default:
					order = compare(x.n.key, y.n.key)
				}
				if order <= 0 {
					c.key, c.old, c.had = x.n.key, x.n.value, true
					a.pop()
				}
				if order >= 0 {
					c.key, c.new, c.have = y.n.key, y.n.value, true
					b.pop()
				}
				if (!c.had || !c.have || !same(c.old, c.new)) && !yield(c) {
					return
				}
			}
		}
	}
}

// A cursor goes over a tree in order and can step over whole subtrees.
type cursor[K, V any] struct {
	stack []pending[K, V]
}

// pending is a subtree that the cursor has yet to go over, or only its root.
type pending[K, V any] struct {
	n     *node[K, V]
	whole bool
}

func newCursor[K, V any](n *node[K, V]) *cursor[K, V] {
	c := &cursor[K, V]{}
	c.push(n)
	return c
}

func (c *cursor[K, V]) push(n *node[K, V]) {
	if n != nil {
		c.stack = append(c.stack, pending[K, V]{n, true})
	}
}

// top returns what comes next, nil at the end.
func (c *cursor[K, V]) top() *pending[K, V] {
	if len(c.stack) == 0 {
		return nil
	}
	top := c.stack[len(c.stack)-1]
	return &top
}

func (c *cursor[K, V]) pop() { c.stack = c.stack[:len(c.stack)-1] }

// open replaces the subtree on top by its left, its root and its right.
func (c *cursor[K, V]) open() {
	n := c.top().n
	c.pop()
	c.push(n.right)
	c.stack = append(c.stack, pending[K, V]{n, false})
	c.push(n.left)
}

// ordered is the map for keys that have an order of their own.
type ordered[K cmp.Ordered, V any] struct {
	tree[K, V]
}

func (o ordered[K, V]) get(key K) (V, bool) { return get(o.tree, cmp.Compare[K], key) }

func (o ordered[K, V]) with(key K, value V) ordered[K, V] {
	return ordered[K, V]{with(o.tree, cmp.Compare[K], key, value)}
}

func (o ordered[K, V]) without(key K) ordered[K, V] {
	return ordered[K, V]{without(o.tree, cmp.Compare[K], key)}
}
