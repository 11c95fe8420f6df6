package leat

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Properties returns every property of the topic under Kafka's name, those
// that c does not set with their default. The map is the caller's.
func (c TopicConfig) Properties() map[string]string {
	c = c.withDefaults()
	m := make(map[string]string, len(topicProperties))
	for i := range topicProperties {
		m[topicProperties[i].name] = topicProperties[i].show(&c)
	}
	return m
}

// SetProperty sets the field that Kafka calls name to value, written as Kafka
// writes it; space around the value is ignored. It returns a *ConfigError, and
// leaves c as it was, for a value that breaks the field's rule, for a name that
// Kafka does not know, and for one that Kafka knows and leat has no use for;
// the last is also ErrUnusedProperty, so that configs brought from Kafka can be
// applied without it. Rules between fields are checked where the config is used.
func (c *TopicConfig) SetProperty(name, value string) error {
	p, err := findTopicProperty(name, value)
	if err != nil {
		return err
	}
	if !p.set(c, strings.TrimSpace(value)) {
		return &ConfigError{Property: name, Value: value, Rule: p.rule}
	}
	return nil
}

// ResetProperty makes the field that Kafka calls name inherit again. It returns
// what SetProperty returns for a name that is not a field's.
func (c *TopicConfig) ResetProperty(name string) error {
	p, err := findTopicProperty(name, "")
	if err != nil {
		return err
	}
	p.inherit(c, nil)
	return nil
}

// given returns the properties that c sets, by name. The map is the caller's.
func (c TopicConfig) given() map[string]string {
	m := make(map[string]string)
	for i := range topicProperties {
		p := &topicProperties[i]
		without := c
		if p.inherit(&without, nil); without != c {
			m[p.name] = p.show(&c)
		}
	}
	return m
}

// isTopicProperty reports whether name is one of TopicConfig's.
func isTopicProperty(name string) bool {
	return slices.ContainsFunc(topicProperties, func(p topicProperty) bool { return p.name == name })
}

func findTopicProperty(name, value string) (*topicProperty, error) {
	for i := range topicProperties {
		if topicProperties[i].name == name {
			return &topicProperties[i], nil
		}
	}
	if slices.Contains(unusedTopicProperties, name) {
		return nil, &ConfigError{Property: name, Value: value, Rule: "leat has no use for this property of Kafka's", unused: true}
	}
	return nil, &ConfigError{Property: name, Value: value, Rule: "this is not a property of a topic"}
}

// topicProperty ties one of Kafka's properties to its field in TopicConfig.
type topicProperty struct {
	name string
	rule string // what a value must be

	// set parses the value and stores it, or returns false and changes nothing.
	set func(c *TopicConfig, value string) bool
	// show writes the field as Kafka does; a value that valid refuses, or a
	// zero, in any readable way.
	show func(c *TopicConfig) string
	// valid reports whether the field is zero or may be what it is.
	valid func(c *TopicConfig) bool
	// inherit takes the parent's field when c's is zero; without a parent it
	// makes the field zero.
	inherit func(c, parent *TopicConfig)
}

// topicProperties is every property of TopicConfig, in the order of its fields.
// A new one needs its field, its default, and a line here.
var topicProperties = []topicProperty{
	enumProperty("cleanup.policy", cleanupPolicyNames, func(c *TopicConfig) *CleanupPolicy { return &c.CleanupPolicy }).
		withAlias("delete,compact", "compact,delete"),
	millisProperty("retention.ms", millisForeverMinus, func(c *TopicConfig) *time.Duration { return &c.Retention }),
	numberProperty("retention.bytes", 1, math.MaxInt64, true, func(c *TopicConfig) *int64 { return &c.RetentionBytes }),
	numberProperty("max.message.bytes", 1, messageBytesMax, false, func(c *TopicConfig) *int { return &c.MaxMessageBytes }),
	millisProperty("min.compaction.lag.ms", millisAtOnce, func(c *TopicConfig) *time.Duration { return &c.MinCompactionLag }),
	millisProperty("max.compaction.lag.ms", millisForeverMax, func(c *TopicConfig) *time.Duration { return &c.MaxCompactionLag }),
	millisProperty("delete.retention.ms", millisAtOnce, func(c *TopicConfig) *time.Duration { return &c.DeleteRetention }),
	ratioProperty("min.cleanable.dirty.ratio", func(c *TopicConfig) *float64 { return &c.MinCleanableDirtyRatio }),
	enumProperty("compression.type", compressionNames, func(c *TopicConfig) *Compression { return &c.Compression }),
	enumProperty("message.timestamp.type", timestampTypeNames, func(c *TopicConfig) *TimestampType { return &c.TimestampType }),
	millisProperty("message.timestamp.before.max.ms", millisForeverMax, func(c *TopicConfig) *time.Duration { return &c.MessageTimestampBeforeMax }),
	millisProperty("message.timestamp.after.max.ms", millisForeverMax, func(c *TopicConfig) *time.Duration { return &c.MessageTimestampAfterMax }),
	numberProperty("min.insync.replicas", 1, minInSyncReplicasMax, false, func(c *TopicConfig) *int { return &c.MinInSyncReplicas }),
	numberProperty("leat.dedicated.shards", 1, shardsPerFactorMax, true, func(c *TopicConfig) *int { return &c.DedicatedShards }).
		withRule("must be a whole number from 1 to 1024, or -1 for none"),
}

// unusedTopicProperties is what Kafka's topics have besides: properties of
// segment files, page cache, tiers and replication that have nothing to act on
// here. They are refused rather than kept, so that nobody relies on one.
var unusedTopicProperties = []string{
	"compression.gzip.level",
	"compression.lz4.level",
	"compression.zstd.level",
	"file.delete.delay.ms",
	"flush.messages",
	"flush.ms",
	"follower.replication.throttled.replicas",
	"index.interval.bytes",
	"leader.replication.throttled.replicas",
	"local.retention.bytes",
	"local.retention.ms",
	"message.downconversion.enable",
	"message.format.version",
	"message.timestamp.difference.max.ms",
	"preallocate",
	"remote.copy.disable",
	"remote.log.delete.on.disable",
	"remote.storage.enable",
	"segment.bytes",
	"segment.index.bytes",
	"segment.jitter.ms",
	"segment.ms",
	"unclean.leader.election.enable",
}

// millisMax is the longest finite time.Duration in whole milliseconds, some 292
// years.
const millisMax = int64(math.MaxInt64 / time.Millisecond)

// millisKind says what a duration may be besides 1 ms to millisMax.
type millisKind uint8

const (
	millisAtOnce       millisKind = iota // AtOnce, written 0
	millisForeverMinus                   // Forever, written -1
	millisForeverMax                     // Forever, written as the greatest int64
)

// special returns the duration that k allows besides the finite ones, and how
// Kafka writes it.
func (k millisKind) special() (time.Duration, int64) {
	switch k {
	case millisForeverMinus:
		return Forever, -1
	case millisForeverMax:
		return Forever, math.MaxInt64
	default:
		return AtOnce, 0
	}
}

func millisProperty(name string, kind millisKind, field func(*TopicConfig) *time.Duration) topicProperty {
	special, written := kind.special()
	rule := fmt.Sprintf("must be a whole number of milliseconds from 1 to %d", millisMax)
	if special == Forever {
		rule += fmt.Sprintf(", or %d for no limit", written)
	} else {
		rule += ", or 0"
	}
	return topicProperty{
		name: name,
		rule: rule,
		set: func(c *TopicConfig, value string) bool {
			n, err := strconv.ParseInt(value, 10, 64)
			switch {
			case err != nil:
				return false
			case n == written:
				*field(c) = special
			case n < 1 || n > millisMax:
				return false
			default:
				*field(c) = time.Duration(n) * time.Millisecond
			}
			return true
		},
		show: func(c *TopicConfig) string {
			d := *field(c)
			switch {
			case d == special:
				return strconv.FormatInt(written, 10)
			case d%time.Millisecond != 0:
				return d.String()
			}
			return strconv.FormatInt(d.Milliseconds(), 10)
		},
		valid: func(c *TopicConfig) bool {
			d := *field(c)
			return d == 0 || d == special || (d > 0 && d%time.Millisecond == 0)
		},
		inherit: inheritField(field),
	}
}

// withRule returns p with another text of its rule.
func (p topicProperty) withRule(rule string) topicProperty {
	p.rule = rule
	return p
}

// numberProperty is an integer in [lo, hi], lo above 0, or Unlimited where that
// is allowed.
func numberProperty[N int | int64](name string, lo, hi int64, unlimited bool, field func(*TopicConfig) *N) topicProperty {
	rule := fmt.Sprintf("must be a whole number from %d to %d", lo, hi)
	if unlimited {
		rule += fmt.Sprintf(", or %d for no limit", Unlimited)
	}
	allowed := func(n int64) bool { return (n >= lo && n <= hi) || (unlimited && n == Unlimited) }
	return topicProperty{
		name: name,
		rule: rule,
		set: func(c *TopicConfig, value string) bool {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || !allowed(n) {
				return false
			}
			*field(c) = N(n)
			return true
		},
		show:    func(c *TopicConfig) string { return strconv.FormatInt(int64(*field(c)), 10) },
		valid:   func(c *TopicConfig) bool { n := int64(*field(c)); return n == 0 || allowed(n) },
		inherit: inheritField(field),
	}
}

// ratioProperty is a number from 0 to 1, whose 0 is -1 in the field.
func ratioProperty(name string, field func(*TopicConfig) *float64) topicProperty {
	return topicProperty{
		name: name,
		rule: "must be a number from 0 to 1",
		set: func(c *TopicConfig, value string) bool {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil || !(f >= 0 && f <= 1) { // not a number is neither
				return false
			}
			if f == 0 {
				f = -1
			}
			*field(c) = f
			return true
		},
		show: func(c *TopicConfig) string {
			f := *field(c)
			if f == -1 {
				f = 0
			}
			return strconv.FormatFloat(f, 'g', -1, 64)
		},
		valid:   func(c *TopicConfig) bool { f := *field(c); return f == -1 || (f >= 0 && f <= 1) },
		inherit: inheritField(field),
	}
}

func enumProperty[E ~uint8](name string, names []string, field func(*TopicConfig) *E) topicProperty {
	return topicProperty{
		name: name,
		rule: enumRule(names),
		set: func(c *TopicConfig, value string) bool {
			i := slices.Index(names, value)
			if i <= 0 { // the zero value's name is not a value
				return false
			}
			*field(c) = E(i)
			return true
		},
		show:    func(c *TopicConfig) string { return enumString(names, *field(c)) },
		valid:   func(c *TopicConfig) bool { return int(*field(c)) < len(names) },
		inherit: inheritField(field),
	}
}

// withAlias makes set take alias, and lists with spaces after their commas, for
// value.
func (p topicProperty) withAlias(alias, value string) topicProperty {
	set := p.set
	p.set = func(c *TopicConfig, v string) bool {
		v = strings.ReplaceAll(v, " ", "")
		if v == alias {
			v = value
		}
		return set(c, v)
	}
	return p
}

func inheritField[T comparable](field func(*TopicConfig) *T) func(c, parent *TopicConfig) {
	return func(c, parent *TopicConfig) {
		var zero T
		f := field(c)
		switch {
		case parent == nil:
			*f = zero
		case *f == zero:
			*f = *field(parent)
		}
	}
}
