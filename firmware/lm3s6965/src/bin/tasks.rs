//! The same application with tasks: `SysTick` produces, one task reads
//! commands from UART0, one drains to it.

#![no_std]
#![no_main]

use cortex_m::peripheral::{NVIC, SYST, syst::SystClkSource};
use cortex_m_rt::{entry, exception};
use embassy_executor::{Executor, Spawner};
use embassy_sync::{blocking_mutex::raw::CriticalSectionRawMutex, signal::Signal};
use forebay_app::{Commands, Drain, Handover, Ticker};
use forebay_lm3s6965::{
    asynchronous::{self, AsyncReceiver, AsyncSender},
    uart0,
};
use lm3s6965::{Interrupt, interrupt};

/// Cycles from one tick's interrupt to the next.
const PERIOD: u32 = 120_000;

static TICKER: Handover<Ticker> = Handover::new();
/// Something was produced. A signal stays until it is waited for, so that none
/// is lost between a look at the rings and the wait.
static READY: Signal<CriticalSectionRawMutex, ()> = Signal::new();

#[entry]
fn main() -> ! {
    let Some(executor) = cortex_m::singleton!(: Executor = Executor::new()) else {
        panic!("main runs once");
    };
    executor.run(start)
}

fn start(spawner: Spawner) {
    let parts = forebay_app::split().zip(cortex_m::Peripherals::take());
    let Some(((ticker, commands, drain), mut core)) = parts else {
        panic!("main runs once");
    };
    let (receiver, sender) = uart0();
    TICKER.leave(ticker);
    tick(&mut core.SYST);
    // SAFETY: the interrupt's handler shares nothing but through wakers and
    // registers, so it may run from now on.
    unsafe { NVIC::unmask(Interrupt::UART0) };
    defmt::info!("tasks: ready");
    match (answer(commands, AsyncReceiver(receiver)), send(drain, AsyncSender(sender))) {
        (Ok(answer), Ok(send)) => {
            spawner.spawn(answer);
            spawner.spawn(send);
        }
        _ => panic!("each task is spawned once"),
    }
}

fn tick(timer: &mut SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(PERIOD - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

#[embassy_executor::task]
async fn answer(mut commands: Commands, mut line: AsyncReceiver) {
    loop {
        commands.task(&mut line).await;
        READY.signal(());
    }
}

#[embassy_executor::task]
async fn send(drain: Drain<2>, line: AsyncSender) {
    drain.run_async(line, async || READY.wait().await).await
}

#[exception]
fn SysTick() {
    static mut OWN: Option<Ticker> = None;
    if let Some(ticker) = TICKER.take(OWN)
        && ticker.interrupt()
    {
        READY.signal(());
    }
}

#[interrupt]
fn UART0() {
    asynchronous::interrupt();
}
