package embedded

import "github.com/cockroachdb/pebble/v2"

// tables has Pebble rewrite as little as it can. Rows of events, ids and transitions come in the order of their keys (ids that
// a publisher makes up do not), so that a table of one flush that has such a kind alone overlaps none of another flush: it stays as
// it was written, and goes down the levels as a file. What is rewritten are the kinds whose new rows fall among the old ones:
// the index rows of endpoints and tenants, and what is pending. Were a table to hold the end of one kind and the beginning of
// the next, it would reach over all later tables between them, and take them along into every compaction: an event of 250
// bytes delivered then cost 1.48 kB written instead of 1.11 after a million events, and with old ones deleted at the same rate
// 2.4 kB instead of 1.6.
func tables(po *pebble.Options) {
	po.Experimental.SpanPolicyFunc = kindsApart
	// A flush writes one table of each kind, split where tables of level 0 begin, some MB apart: what it deletes at the old
	// end of a kind must not be in one table with what it adds at the new.
	po.TargetFileSizes[0] = 16 << 20
	po.FlushSplitBytes = 1 << 20
	// A compaction out of level 0 takes neighbours along as long as all are smaller than 25 tables of the next level.
	po.TargetFileSizes[1] = 1 << 20
	// Depth counts twice: level 0 is compacted where 6 tables lie over each other. That they are many, side by side, costs
	// nothing, but as from the limit each flush has the deepest ones compacted for no gain. A flush of 25,000 events adds 5.
	po.L0CompactionThreshold = 12
	po.L0StopWritesThreshold = 40
	po.L0CompactionFileThreshold = 4000
}

// apart are the first bytes of keys at which a table ends.
var apart = [...]byte{
	kindTransition, kindEvent, kindByOutcome, kindByOutcome + 1, kindID, kindID + 1, kindByEndpoint, kindByTenant,
}

// kindsApart is a pebble.SpanPolicyFunc for its effect that a table does not reach over the end of a span.
func kindsApart(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	for _, kind := range apart {
		if len(start) == 0 || start[0] < kind {
			return policy, []byte{kind}, nil
		}
	}
	return policy, nil, nil
}
