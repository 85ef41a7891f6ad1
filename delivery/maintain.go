package delivery

import (
	"errors"
	"log/slog"
	"time"
)

// maintainEvery is how often retention looks: it must expire a minute's worth of deliveries in less than a minute.
const maintainEvery = time.Minute

// maintain expires and deletes what is old, has the store audited and lets idle lanes go, until the engine stops.
func (e *Engine) maintain() {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	auditAt := e.audit(e.clock.now())
	for {
		select {
		case <-e.work.Done():
			return
		case <-tick.C:
		}
		now, doubtful := e.clock.now(), e.clock.doubtful()
		if !now.Before(auditAt) {
			auditAt = e.audit(now)
		}
		if plan := e.plan.Load(); plan != nil && !doubtful {
			e.prune(plan, now)
		}
		e.restIdleLanes(now)
		e.activity.forget(now)
	}
}

// expiredNews bounds the operational events about deliveries that expire in the same minute, one for each: a backlog of a
// million may. The rest are counted in one more.
const expiredNews = 100

func (e *Engine) prune(plan *Plan, now time.Time) {
	told, untold := 0, 0
	expired, deleted, err := e.store.Prune(e.work, Prune{
		Now: stamp(now), Expire: plan.Expire, Retention: plan.Retention,
		Expired: func(d *Delivery) {
			switch {
			case IsNotice(d.Event.Type):
			case told == expiredNews:
				untold++
			default:
				told++
				e.Notify(exhaustedNotice(d, now, ReasonExpired, d.Attempts))
			}
		},
	})
	if err != nil && e.work.Err() == nil && !errors.Is(err, ErrUnavailable) {
		e.log.Error("retention", slog.Any("error", err))
	}
	if expired > 0 {
		e.log.Warn("deliveries expired", slog.Int("deliveries", expired))
	}
	if untold > 0 {
		e.Notify(Notice{Type: NoticeDeliveryExhausted, At: now, Data: map[string]any{"reason": ReasonExpired, "deliveries": untold}})
	}
	if deleted > 0 {
		e.log.Info("deleted settled events", slog.Int("events", deleted))
	}
}
