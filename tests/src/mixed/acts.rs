//! What a plan says is carried out here: what people do, and what goes wrong.

use super::engine::{Happening, Mixed};
use super::ledger::Sent;
use super::plan::{Act, Wrong};
use super::{Pid, oracles};
use whatsio_core::api::MessageId;
use whatsio_core::relay::{Cut, Cutting, LinkId, RequestFault};
use whatsio_core::stanza::Addressing;
use whatsio_core::types::Jid;

impl Mixed {
    pub(super) fn act(&mut self, act: Act) {
        let now = self.now;
        let count = self.devices.len();
        let device = |number: usize| number % count;
        match act {
            Act::Send { device: number, to, by_lid } => {
                let (number, to) = (device(number), to % self.accounts.len());
                self.send(number, to, by_lid, false);
            }
            Act::Read { device: number } => {
                let number = device(number);
                let Some((life, process)) = self.devices[number].newest() else { return };
                let clock = self.devices[number].clock(process, now);
                let pid = Pid { device: number, life };
                let Some((chat, sender, id)) = self.devices[number].app.newest.clone() else { return };
                if let Some(process) = self.process(pid) {
                    let _ = process.client.mark_read(clock, &chat, &sender, &[id]);
                    self.drain(pid);
                }
            }
            Act::Cut { device: number } => {
                if let Some((pid, link)) = self.link_of(device(number)) {
                    self.lose(link);
                    let (host, server) = (self.dice.below(2_000), self.dice.below(2_000));
                    self.later(now + host, Happening::LostAtHost(pid, link));
                    self.later(now + server, Happening::LostAtServer(link));
                }
            }
            Act::Vanish { device: number } => {
                if let Some((_, link)) = self.link_of(device(number)) {
                    self.lose(link);
                }
            }
            Act::Kick { device: number } => {
                let jid = self.devices[device(number)].linked.as_ref().map(|linked| linked.jid.clone());
                if let Some(jid) = jid {
                    let clock = self.relay_clock();
                    self.relay.disconnect(clock, &jid);
                }
            }
            Act::Unreachable { device: number, ms } => {
                let number = device(number);
                self.devices[number].unreachable_until = now + ms;
                self.act(Act::Cut { device: number });
            }
            Act::Crash { device: number, outputs, down_ms } => {
                let number = device(number);
                let Some((life, _)) = self.devices[number].newest() else { return };
                let pid = Pid { device: number, life };
                if let Some(process) = self.process(pid) {
                    process.die_after = Some(outputs);
                }
                self.later(now + 20_000, Happening::Die(pid));
                self.later(now + 20_001 + down_ms, Happening::Start(number, life));
            }
            Act::Rival { device: number } => self.start(device(number)),
            Act::Busy { device: number, commits } => self.devices[device(number)].store.busy = commits,
            Act::Full { device: number } => self.devices[device(number)].store.full = true,
            Act::Unreadable { device: number, loads } => self.devices[device(number)].store.unreadable = loads,
            Act::Slow { device: number, ms } => self.devices[device(number)].store.slow_until = now + ms,
            Act::Inattentive { device: number, ms } => self.devices[device(number)].inattentive_until = now + ms,
            Act::Jump { device: number, ms } => self.devices[device(number)].skew_ms = ms,
            Act::Trim { device: number } => {
                for process in self.devices[device(number)].processes.values_mut() {
                    process.client.trim(0);
                }
            }
            Act::Link { account } => {
                let account = account % self.accounts.len();
                if self.devices.iter().filter(|device| device.account == account).count() < 4 {
                    self.add_device(account);
                }
            }
            Act::Unlink { device: number } => {
                let number = device(number);
                self.devices[number].is_given_up = self.dice.chance(50);
                let jid = self.devices[number].linked.as_ref().map(|linked| linked.jid.clone());
                if let Some(jid) = jid {
                    let clock = self.relay_clock();
                    self.relay.remove_device(clock, &jid);
                }
            }
            Act::LogOut { device: number } => {
                let number = device(number);
                self.devices[number].is_given_up = self.dice.chance(50);
                let Some((life, process)) = self.devices[number].newest() else { return };
                let clock = self.devices[number].clock(process, now);
                let pid = Pid { device: number, life };
                if let Some(process) = self.process(pid) {
                    let _ = process.client.log_out(clock);
                    self.drain(pid);
                }
            }
            Act::PhoneAway { account, ms } => {
                let account = account % self.accounts.len();
                self.accounts[account].phone_away_until = now + ms;
            }
            Act::Reveal => self.reveal(),
            Act::Migrate { account } => {
                let pn = self.accounts[account % self.accounts.len()].pn.clone();
                if let Some(pn) = pn.filter(|_| self.is_revealed) {
                    self.relay.set_addressing(&pn, Some(Addressing::Lid));
                }
            }
            Act::Server(wrong) => self.go_wrong(wrong),
            Act::Lie { device: number, ms } => {
                self.devices[device(number)].store.lies = true;
                self.later(now + ms, Happening::Honest(device(number)));
            }
            Act::Hasty { device: number } => self.devices[device(number)].app.is_hasty = true,
            Act::Steal { device: number } => {
                self.act(Act::Unreachable { device: number, ms: 30_000 });
                self.later(now + 15_000, Happening::Steal(device(number)));
            }
        }
    }

    fn go_wrong(&mut self, wrong: Wrong) {
        let now = self.now;
        let victims: Vec<Jid> =
            self.devices.iter().filter_map(|device| device.linked.as_ref()).map(|linked| linked.jid.clone()).collect();
        let faults = self.relay.faults();
        match wrong {
            Wrong::DropAcks(count) => faults.drop_message_acks(count),
            Wrong::LateAcks(count, ms) => faults.delay_message_acks(count, ms),
            Wrong::Refuse(count, code) => faults.refuse_messages(count, code),
            Wrong::Twice(count) => faults.duplicate_deliveries(count),
            Wrong::Forget(count) => faults.lose_deliveries(count),
            Wrong::Flip(count) => faults.corrupt_frames(count),
            Wrong::CutSender(when) => faults.disconnect_on_message(match when {
                0 => Cut::BeforeTaking,
                1 => Cut::BeforeAck,
                _ => Cut::AfterAck,
            }),
            Wrong::Fail(about, count, code) => faults.break_requests(about.name(), count, RequestFault::Error(code)),
            Wrong::Ignore(about, count) => faults.break_requests(about.name(), count, RequestFault::Silence),
            Wrong::Delay(about, count, ms) => faults.break_requests(about.name(), count, RequestFault::Delay(ms)),
            Wrong::RefuseLogins(count, code) => faults.refuse_logins(count, code),
            Wrong::HideDevices(ms) => {
                faults.hide_device_changes(true);
                self.later(now + ms, Happening::TellDevices);
            }
            Wrong::Damage(number) => {
                if let Some(victim) = victims.get(number % victims.len().max(1)) {
                    faults.damage_ciphertext(victim);
                }
            }
            Wrong::Compress => faults.compress_stanzas(true),
            Wrong::Cutting(pieces) => {
                faults.cut_output(if pieces { Cutting::Pieces(7) } else { Cutting::Joined });
            }
        }
    }

    pub(super) fn link_of(&mut self, device: usize) -> Option<(Pid, LinkId)> {
        let (life, process) = self.devices[device].newest()?;
        Some((Pid { device, life }, process.link?))
    }

    fn lose(&mut self, link: LinkId) {
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.is_dead = true;
            wire.lose_all();
        }
    }

    pub(super) fn reveal(&mut self) {
        self.is_revealed = true;
        for account in 0..self.accounts.len() {
            self.hide(account, false);
        }
    }

    pub(super) fn send(&mut self, device: usize, to: usize, by_lid: bool, is_probe: bool) {
        let now = self.now;
        let Some(linked) = self.devices[device].linked.clone() else { return };
        let Some((life, _)) = self.devices[device].newest() else { return };
        let Some(mut chat) = self.accounts[to].pn.clone() else { return };
        if by_lid && self.is_revealed {
            let account = self.relay.accounts().into_iter().find(|account| account.pn == chat);
            chat = account.map_or(chat, |account| account.lid);
        }
        self.messages += 1;
        let text = format!("{}{} from {device} to {to}", oracles::MARK, self.messages);
        let id = MessageId::new(format!("3EB0{:018X}", self.messages * 7919));
        let pid = Pid { device, life };
        if self.submit(pid, &id, &chat, &text).is_err() {
            return;
        }
        self.devices[device].app.unqueued.push_back((id.clone(), chat.clone(), text.clone()));
        let sent = Sent {
            text,
            device,
            from: linked.jid,
            to,
            chat,
            at: now,
            is_queued: false,
            submitted: 1,
            ends: Vec::new(),
            left_out: Vec::new(),
            is_sent: false,
            is_refused: false,
            is_probe,
        };
        self.ledger.send(id.as_str(), sent);
        self.drain(pid);
    }
}
