package leat

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fullTopicConfig differs from the defaults in every field.
func fullTopicConfig() TopicConfig {
	return TopicConfig{
		Partitions:                6,
		CleanupPolicy:             CompactDelete,
		Retention:                 Forever,
		RetentionBytes:            1 << 40,
		MaxMessageBytes:           2 << 20,
		MinCompactionLag:          time.Minute,
		MaxCompactionLag:          time.Hour,
		DeleteRetention:           AtOnce,
		MinCleanableDirtyRatio:    -1,
		Compression:               Zstd,
		TimestampType:             LogAppendTime,
		MessageTimestampBeforeMax: 1500 * time.Millisecond,
		MessageTimestampAfterMax:  Forever,
		MinInSyncReplicas:         2,
		DedicatedShards:           3,
	}
}

func TestTopicConfigDefaultsLeaveNoZero(t *testing.T) {
	got := reflect.ValueOf(TopicConfig{}.withDefaults())
	for i := range got.NumField() {
		if name := got.Type().Field(i).Name; name == "ReplicationFactor" {
			continue // that of the cluster, which another node may know
		}
		if got.Field(i).IsZero() {
			t.Errorf("%s has no default", got.Type().Field(i).Name)
		}
	}
	if err := (TopicConfig{}).withDefaults().validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	if err := (TopicConfig{}).validate(); err != nil {
		t.Errorf("the zero value is refused: %v", err)
	}
}

func TestTopicConfigEveryFieldIsAProperty(t *testing.T) {
	if fields := reflect.TypeFor[TopicConfig]().NumField(); len(topicProperties) != fields-2 { // Partitions, ReplicationFactor
		t.Errorf("%d properties for %d fields", len(topicProperties), fields-2)
	}
	full, want := fullTopicConfig(), TopicConfig{}.Properties()
	for name, value := range full.Properties() {
		if value == want[name] {
			t.Errorf("%s is %s with and without its field set: two properties share a field", name, value)
		}
	}
}

func TestTopicConfigInherit(t *testing.T) {
	full, defaults := fullTopicConfig(), defaultTopicConfig()
	if got := (TopicConfig{}).inherit(full); got != full {
		t.Errorf("the zero value inherits %+v, want %+v", got, full)
	}
	if got := defaults.inherit(full); got != defaults {
		t.Errorf("set fields are overridden: %+v, want %+v", got, defaults)
	}
	got := TopicConfig{Retention: time.Hour}.inherit(TopicConfig{Retention: time.Minute, RetentionBytes: 5}).withDefaults()
	want := defaults
	want.Retention, want.RetentionBytes = time.Hour, 5
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTopicConfigProperties(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    TopicConfig
		want map[string]string
	}{
		{"defaults are Kafka's", TopicConfig{}, map[string]string{
			"cleanup.policy":                  "delete",
			"retention.ms":                    "604800000",
			"retention.bytes":                 "-1",
			"max.message.bytes":               "1048588",
			"min.compaction.lag.ms":           "0",
			"max.compaction.lag.ms":           "9223372036854775807",
			"delete.retention.ms":             "86400000",
			"min.cleanable.dirty.ratio":       "0.5",
			"compression.type":                "producer",
			"message.timestamp.type":          "CreateTime",
			"message.timestamp.before.max.ms": "9223372036854775807",
			"message.timestamp.after.max.ms":  "3600000",
			"min.insync.replicas":             "1",
			"leat.dedicated.shards":           "-1",
		}},
		{"all set", fullTopicConfig(), map[string]string{
			"cleanup.policy":                  "compact,delete",
			"retention.ms":                    "-1",
			"retention.bytes":                 "1099511627776",
			"max.message.bytes":               "2097152",
			"min.compaction.lag.ms":           "60000",
			"max.compaction.lag.ms":           "3600000",
			"delete.retention.ms":             "0",
			"min.cleanable.dirty.ratio":       "0",
			"compression.type":                "zstd",
			"message.timestamp.type":          "LogAppendTime",
			"message.timestamp.before.max.ms": "1500",
			"message.timestamp.after.max.ms":  "9223372036854775807",
			"min.insync.replicas":             "2",
			"leat.dedicated.shards":           "3",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.c.Properties()
			if !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("got  %v\nwant %v", got, tt.want)
			}
			back := TopicConfig{Partitions: tt.c.withDefaults().Partitions}
			for name, value := range got {
				if err := back.SetProperty(name, value); err != nil {
					t.Errorf("a value of ours is refused: %v", err)
				}
			}
			if want := tt.c.withDefaults(); back != want {
				t.Errorf("set again: %+v, want %+v", back, want)
			}
		})
	}
}

func TestTopicConfigSetProperty(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        TopicConfig
	}{
		{"cleanup.policy", "delete", TopicConfig{CleanupPolicy: Delete}},
		{"cleanup.policy", "compact", TopicConfig{CleanupPolicy: Compact}},
		{"cleanup.policy", "delete,compact", TopicConfig{CleanupPolicy: CompactDelete}},
		{"cleanup.policy", "compact, delete", TopicConfig{CleanupPolicy: CompactDelete}},
		{"retention.ms", "1", TopicConfig{Retention: time.Millisecond}},
		{"retention.ms", " 60000 ", TopicConfig{Retention: time.Minute}},
		{"retention.ms", "-1", TopicConfig{Retention: Forever}},
		{"retention.ms", "9223372036854", TopicConfig{Retention: 9223372036854 * time.Millisecond}},
		{"retention.bytes", "-1", TopicConfig{RetentionBytes: Unlimited}},
		{"retention.bytes", "9223372036854775807", TopicConfig{RetentionBytes: math.MaxInt64}},
		{"max.message.bytes", "268435456", TopicConfig{MaxMessageBytes: 256 << 20}},
		{"min.compaction.lag.ms", "0", TopicConfig{MinCompactionLag: AtOnce}},
		{"max.compaction.lag.ms", "9223372036854775807", TopicConfig{MaxCompactionLag: Forever}},
		{"delete.retention.ms", "0", TopicConfig{DeleteRetention: AtOnce}},
		{"min.cleanable.dirty.ratio", "0.0", TopicConfig{MinCleanableDirtyRatio: -1}},
		{"min.cleanable.dirty.ratio", "1", TopicConfig{MinCleanableDirtyRatio: 1}},
		{"compression.type", "uncompressed", TopicConfig{Compression: Uncompressed}},
		{"compression.type", "lz4", TopicConfig{Compression: LZ4}},
		{"message.timestamp.type", "LogAppendTime", TopicConfig{TimestampType: LogAppendTime}},
		{"message.timestamp.before.max.ms", "1", TopicConfig{MessageTimestampBeforeMax: time.Millisecond}},
		{"message.timestamp.after.max.ms", "9223372036854775807", TopicConfig{MessageTimestampAfterMax: Forever}},
		{"min.insync.replicas", "3", TopicConfig{MinInSyncReplicas: 3}},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			var c TopicConfig
			if err := c.SetProperty(tt.name, tt.value); err != nil {
				t.Fatal(err)
			}
			if c != tt.want {
				t.Errorf("got %+v, want %+v", c, tt.want)
			}
			if err := c.validate(); err != nil {
				t.Errorf("set, then refused: %v", err)
			}
			if err := c.ResetProperty(tt.name); err != nil || c != (TopicConfig{}) {
				t.Errorf("reset: %+v, %v", c, err)
			}
		})
	}
}

func TestTopicConfigSetPropertyRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		unused      bool
	}{
		{name: "cleanup.policy", value: ""},
		{name: "cleanup.policy", value: "default"},
		{name: "cleanup.policy", value: "delete,delete"},
		{name: "cleanup.policy", value: "Delete"},
		{name: "retention.ms", value: ""},
		{name: "retention.ms", value: "0"},
		{name: "retention.ms", value: "-2"},
		{name: "retention.ms", value: "1.5"},
		{name: "retention.ms", value: "1h"},
		{name: "retention.ms", value: "9223372036855"},
		{name: "retention.ms", value: "9223372036854775808"},
		{name: "retention.bytes", value: "0"},
		{name: "retention.bytes", value: "-2"},
		{name: "max.message.bytes", value: "0"},
		{name: "max.message.bytes", value: "-1"},
		{name: "max.message.bytes", value: "268435457"},
		{name: "min.compaction.lag.ms", value: "-1"},
		{name: "max.compaction.lag.ms", value: "0"},
		{name: "max.compaction.lag.ms", value: "-1"},
		{name: "delete.retention.ms", value: "9223372036854775807"},
		{name: "min.cleanable.dirty.ratio", value: "1.01"},
		{name: "min.cleanable.dirty.ratio", value: "-1"},
		{name: "min.cleanable.dirty.ratio", value: "NaN"},
		{name: "min.cleanable.dirty.ratio", value: "Inf"},
		{name: "compression.type", value: "none"},
		{name: "compression.type", value: "default"},
		{name: "message.timestamp.type", value: "createtime"},
		{name: "message.timestamp.before.max.ms", value: "0"},
		{name: "min.insync.replicas", value: "0"},
		{name: "min.insync.replicas", value: "32768"},
		{name: "", value: "1"},
		{name: "Retention.ms", value: "1"},
		{name: "partitions", value: "1"},
		{name: "segment.bytes", value: "1073741824", unused: true},
		{name: "unclean.leader.election.enable", value: "true", unused: true},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			c := fullTopicConfig()
			err := c.SetProperty(tt.name, tt.value)
			var ce *ConfigError
			if !errors.As(err, &ce) || !errors.Is(err, ErrInvalidConfig) {
				t.Fatalf("got %v, want a *ConfigError that is ErrInvalidConfig", err)
			}
			if ce.Property != tt.name || ce.Value != tt.value || ce.Rule == "" {
				t.Errorf("got %+v, want the property, the value and a rule", ce)
			}
			if got := errors.Is(err, ErrUnusedProperty); got != tt.unused {
				t.Errorf("ErrUnusedProperty: got %v, want %v", got, tt.unused)
			}
			if c != fullTopicConfig() {
				t.Errorf("a refused value changed the config to %+v", c)
			}
		})
	}
}

func TestTopicConfigResetPropertyRefuses(t *testing.T) {
	c := fullTopicConfig()
	if err := c.ResetProperty("segment.ms"); !errors.Is(err, ErrUnusedProperty) {
		t.Errorf("segment.ms: got %v, want ErrUnusedProperty", err)
	}
	if err := c.ResetProperty("no.such"); !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("no.such: got %v, want ErrInvalidConfig", err)
	}
	if c != fullTopicConfig() {
		t.Errorf("the config changed to %+v", c)
	}
}

func TestTopicConfigValidate(t *testing.T) {
	for _, tt := range []struct {
		property string
		c        TopicConfig
	}{
		{"partitions", TopicConfig{Partitions: -1}},
		{"partitions", TopicConfig{Partitions: 100_001}},
		{"cleanup.policy", TopicConfig{CleanupPolicy: CompactDelete + 1}},
		{"retention.ms", TopicConfig{Retention: AtOnce}},
		{"retention.ms", TopicConfig{Retention: -time.Hour}},
		{"retention.ms", TopicConfig{Retention: 1500 * time.Microsecond}},
		{"retention.bytes", TopicConfig{RetentionBytes: -2}},
		{"max.message.bytes", TopicConfig{MaxMessageBytes: -1}},
		{"max.message.bytes", TopicConfig{MaxMessageBytes: 256<<20 + 1}},
		{"min.compaction.lag.ms", TopicConfig{MinCompactionLag: Forever}},
		{"min.compaction.lag.ms", TopicConfig{MinCompactionLag: time.Hour, MaxCompactionLag: time.Minute}},
		{"max.compaction.lag.ms", TopicConfig{MaxCompactionLag: AtOnce}},
		{"delete.retention.ms", TopicConfig{DeleteRetention: Forever}},
		{"min.cleanable.dirty.ratio", TopicConfig{MinCleanableDirtyRatio: 1.1}},
		{"min.cleanable.dirty.ratio", TopicConfig{MinCleanableDirtyRatio: -0.5}},
		{"min.cleanable.dirty.ratio", TopicConfig{MinCleanableDirtyRatio: math.NaN()}},
		{"compression.type", TopicConfig{Compression: Zstd + 1}},
		{"message.timestamp.type", TopicConfig{TimestampType: LogAppendTime + 1}},
		{"message.timestamp.before.max.ms", TopicConfig{MessageTimestampBeforeMax: time.Nanosecond}},
		{"message.timestamp.after.max.ms", TopicConfig{MessageTimestampAfterMax: -time.Second}},
		{"min.insync.replicas", TopicConfig{MinInSyncReplicas: -1}},
	} {
		for _, c := range []TopicConfig{tt.c, tt.c.withDefaults()} {
			err := c.validate()
			var ce *ConfigError
			if !errors.As(err, &ce) || ce.Property != tt.property {
				t.Errorf("%+v: got %v, want a *ConfigError of %s", c, err, tt.property)
			}
		}
	}
	for _, c := range []TopicConfig{
		fullTopicConfig(),
		{Partitions: 100_000, MaxMessageBytes: 256 << 20, MinInSyncReplicas: 32767},
		{MinCompactionLag: time.Hour, MaxCompactionLag: time.Hour},
		{MinCompactionLag: time.Hour},
		{Retention: math.MaxInt64 / time.Millisecond * time.Millisecond},
	} {
		if err := c.withDefaults().validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestTopicConfigJSON holds the stored form: what is written today must be read
// for ever.
func TestTopicConfigJSON(t *testing.T) {
	const golden = `{"partitions":6,"cleanup_policy":"compact,delete","retention_ns":-1,"retention_bytes":1099511627776,` +
		`"max_message_bytes":2097152,"min_compaction_lag_ns":60000000000,"max_compaction_lag_ns":3600000000000,` +
		`"delete_retention_ns":-2,"min_cleanable_dirty_ratio":-1,"compression":"zstd","timestamp_type":"LogAppendTime",` +
		`"message_timestamp_before_max_ns":1500000000,"message_timestamp_after_max_ns":-1,"min_insync_replicas":2,"dedicated_shards":3}`
	got, err := json.Marshal(fullTopicConfig())
	if err != nil || string(got) != golden {
		t.Errorf("got  %s, %v\nwant %s", got, err, golden)
	}
	var c TopicConfig
	if err := json.Unmarshal([]byte(golden), &c); err != nil || c != fullTopicConfig() {
		t.Errorf("read back %+v, %v", c, err)
	}

	if got, err := json.Marshal(TopicConfig{}); err != nil || string(got) != "{}" {
		t.Errorf("the zero value is %s, %v, want {}", got, err)
	}
	c = TopicConfig{}
	if err := json.Unmarshal([]byte(`{"partitions":2,"of_a_later_version":[1]}`), &c); err != nil || c != (TopicConfig{Partitions: 2}) {
		t.Errorf("an unknown field: %+v, %v", c, err)
	}
	if err := json.Unmarshal([]byte(`{"compression":"brotli"}`), &c); !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("an unknown compression: got %v, want ErrInvalidConfig", err)
	}
	if _, err := json.Marshal(TopicConfig{Compression: 200}); !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("an impossible compression: got %v, want ErrInvalidConfig", err)
	}
}

func TestEnumStrings(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{CleanupPolicy(0).String(), "default"},
		{CompactDelete.String(), "compact,delete"},
		{CleanupPolicy(9).String(), "9"},
		{Gzip.String(), "gzip"},
		{LogAppendTime.String(), "LogAppendTime"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	for _, tt := range []struct {
		p                 CleanupPolicy
		deletes, compacts bool
	}{{0, false, false}, {Delete, true, false}, {Compact, false, true}, {CompactDelete, true, true}} {
		if tt.p.Deletes() != tt.deletes || tt.p.Compacts() != tt.compacts {
			t.Errorf("%v: deletes %v, compacts %v", tt.p, tt.p.Deletes(), tt.p.Compacts())
		}
	}
}

func TestConfigErrorIsShort(t *testing.T) {
	var c TopicConfig
	err := c.SetProperty("retention.ms", strings.Repeat("é", 1<<20))
	if err == nil || len(err.Error()) > 400 {
		t.Fatalf("got %d bytes of message, want a short one", len(err.Error()))
	}
	if want := `(2097152 bytes)`; !strings.Contains(err.Error(), want) {
		t.Errorf("%v lacks %q", err, want)
	}
	err = c.SetProperty("retention.ms", "a week")
	if want := `leat: invalid config: "retention.ms" = "a week": must be a whole number of milliseconds from 1 to 9223372036854, or -1 for no limit`; err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// FuzzTopicConfigSetProperty: whatever is set is valid, is shown, and is what
// showing and setting again gives; whatever is refused changes nothing.
func FuzzTopicConfigSetProperty(f *testing.F) {
	for name, value := range fullTopicConfig().Properties() {
		f.Add(name, value)
	}
	for name, value := range (TopicConfig{}).Properties() {
		f.Add(name, value)
	}
	f.Add("segment.bytes", "1")
	f.Add("min.cleanable.dirty.ratio", "1e-400")
	f.Add("retention.ms", "+007")
	f.Fuzz(func(t *testing.T, name, value string) {
		c := fullTopicConfig()
		if err := c.SetProperty(name, value); err != nil {
			var ce *ConfigError
			if !errors.As(err, &ce) || c != fullTopicConfig() {
				t.Fatalf("%q=%q: %v, and the config is %+v", name, value, err, c)
			}
			return
		}
		var set TopicConfig
		if err := set.SetProperty(name, value); err != nil {
			t.Fatalf("%q=%q is refused by another config: %v", name, value, err)
		}
		if err := set.validate(); err != nil {
			t.Fatalf("%q=%q was set and is not valid: %v", name, value, err)
		}
		if set == (TopicConfig{}) {
			t.Fatalf("%q=%q was set and left nothing", name, value)
		}
		shown := set.Properties()[name]
		var again TopicConfig
		if err := again.SetProperty(name, shown); err != nil || again != set {
			t.Fatalf("%q=%q is shown as %q, which gives %+v, %v, want %+v", name, value, shown, again, err, set)
		}
	})
}
