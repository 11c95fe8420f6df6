package assignor

// RoundRobin lays the partitions of all topics in one line, topics by name, and
// deals them in turn to the members in their order, passing over those that do
// not subscribe to the topic. It is Kafka's RoundRobinAssignor. With equal
// subscriptions it is balanced within one; with others it need not be.
func RoundRobin(members []Member, partitions map[string]int32) Assignment {
	out := newAssignment(members)
	ordered := byPlace(members)
	byTopic, topics := subscribers(ordered, partitions)
	turn := int32(0) // whose turn it is: an index into ordered
	for _, topic := range topics {
		subs := byTopic[topic]
		at := 0 // the first subscriber whose turn comes
		for at < len(subs) && subs[at] < turn {
			at++
		}
		for p := range partitions[topic] {
			if at == len(subs) {
				at = 0
			}
			m := out[ordered[subs[at]].ID]
			m[topic] = append(m[topic], p)
			turn = subs[at] + 1
			at++
		}
		if turn == int32(len(ordered)) {
			turn = 0
		}
	}
	return out
}
