package assignor

// Range deals each topic on its own: its partitions in order, cut into runs of
// equal length (the first members get one more where it does not come out
// even), one run for each subscriber in their order. Topics with equally many
// partitions and the same subscribers are cut alike, which is what a join of two
// such topics needs. It is Kafka's RangeAssignor.
func Range(members []Member, partitions map[string]int32) Assignment {
	out := newAssignment(members)
	ordered := byPlace(members)
	byTopic, topics := subscribers(ordered, partitions)
	for _, topic := range topics {
		subs := byTopic[topic]
		count, n := partitions[topic], int32(len(subs))
		each, more := count/n, count%n
		next := int32(0)
		for i, s := range subs {
			length := each
			if int32(i) < more {
				length++
			}
			if length == 0 {
				break
			}
			run := make([]int32, length)
			for j := range run {
				run[j] = next
				next++
			}
			out[ordered[s].ID][topic] = run
		}
	}
	return out
}

// ServerRange is KIP-848's server-side "range": runs of consecutive partitions,
// topics of equal count cut alike, a static member at its place whatever its
// member id, each topic dealt to its own subscribers only. Range does all of
// that; the two have names of their own because they are chosen in different
// places ([Server], [Client]). Neither tries to be sticky.
func ServerRange(members []Member, partitions map[string]int32) Assignment {
	return Range(members, partitions)
}
